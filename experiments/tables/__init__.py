"""Tables that compare methods, for the terminal, for Markdown and for programs."""

from collections.abc import Mapping, Sequence

from experiments.reading import Run
from experiments.tables.leaderboard import LEGEND, leaderboard, rank, to_csv
from experiments.tables.rounds import compare
from experiments.tables.table import Table, cell, to_markdown, to_rich, to_text

__all__ = [
    "LEGEND",
    "Table",
    "cell",
    "compare",
    "leaderboard",
    "overview",
    "rank",
    "to_csv",
    "to_markdown",
    "to_rich",
    "to_text",
]

#: More methods than this have no room side by side.
MAX_COLUMNS = 4


def overview(runs: Mapping[str, Sequence[Run]]) -> Table:
    """The table that ends a job: the rounds of a few methods, or the ranking of many.

    Args:
      runs: runs of one suite and setting by method, at least one each.

    Raises:
      ResultsError: if there is nothing to compare.
    """
    if len(runs) > MAX_COLUMNS:
        return leaderboard(rank(runs))
    return compare(runs)
