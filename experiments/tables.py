"""The table that ends a job: rounds by methods, for the terminal and for Markdown."""

import io
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import rich.box
import rich.console
import rich.table

from amf_jax.errors import ResultsError
from experiments import results, statistics
from experiments.figures import style
from experiments.results import Run

#: Rounds between two rows.
STRIDE = 4


class Table(NamedTuple):
    """Text in rows and columns.

    Attributes:
      title: what the numbers are.
      columns: the headings; the first is of the row labels.
      rows: as many cells each as there are headings; the last row is the area.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def cell(summary: statistics.Summary) -> str:
    """Mean and interval as text.

    Example:
      >>> cell(statistics.Summary(np.array(0.7123), (0.68, 0.75), 6))
      '0.712 [0.68, 0.75]'
    """
    if np.isnan(summary.mean):
        return "–"
    if summary.interval is None:
        return f"{summary.mean:.3f}"
    low, high = summary.interval
    return f"{summary.mean:.3f} [{low:.2f}, {high:.2f}]"


def compare(runs: Mapping[str, Sequence[Run]]) -> Table:
    """Methods side by side over the rounds.

    Shows multi-task success, or the return for a suite that defines no success.

    Args:
      runs: runs of one suite and setting by method, at least one each.

    Returns:
      Round 0, every fourth round and the last as rows, then the area under the curve.

    Raises:
      ResultsError: if there is nothing to compare.
    """
    if not runs or not all(runs.values()):
        raise ResultsError("runs holds no results to compare; give a run per method")
    results.warn_if_incomparable(runs)
    groups = {method: results.finished(group) for method, group in runs.items()}
    first = next(iter(groups.values()))
    successes = results.values(first, "mean_success")
    field = "return" if np.isnan(successes).all() else "mean_success"
    curves = {method: results.values(group, field) for method, group in groups.items()}

    last = max(curve.shape[1] for curve in curves.values()) - 1
    body = []
    for number in [*range(0, last, STRIDE), last]:
        cells = [
            cell(statistics.summarise(curve[:, number]))
            if number < curve.shape[1]
            else "–"
            for curve in curves.values()
        ]
        body.append((str(number), *cells))
    areas = [
        cell(statistics.summarise(statistics.area_under_curve(curve)))
        for curve in curves.values()
    ]
    headings = [
        f"{style.method_name(method)} ({style.seeds(len(group))})"
        for method, group in groups.items()
    ]
    config = first[0].config
    quantity = "return" if field == "return" else "multi-task success"
    return Table(
        title=f"{config['suite']} {config['setting']}: {quantity}, "
        "mean [90 % bootstrap interval over seeds]",
        columns=("Round", *headings),
        rows=(*body, ("Area under curve", *areas)),
    )


def to_rich(table: Table) -> rich.table.Table:
    """The table for a `rich` console."""
    rendered = rich.table.Table(title=table.title, box=rich.box.SIMPLE_HEAD)
    for index, heading in enumerate(table.columns):
        rendered.add_column(
            heading.replace(" (", "\n("),
            justify="right" if index == 0 else "left",
            max_width=10 if index == 0 else None,
        )
    # 80 columns have room for three methods, for more with intervals below the means.
    stack = len(table.columns) > 4
    for index, row in enumerate(table.rows):
        if index == len(table.rows) - 1:
            rendered.add_section()
        rendered.add_row(*(c.replace(" [", "\n[") if stack else c for c in row))
    return rendered


def to_text(table: Table, width: int = 200) -> str:
    """The table as aligned plain text."""
    console = rich.console.Console(file=io.StringIO(), width=width, color_system=None)
    with console.capture() as capture:
        console.print(to_rich(table))
    return capture.get()


def to_markdown(table: Table) -> str:
    """The table as Markdown, its title above as a paragraph.

    Example:
      >>> print(to_markdown(Table("Success", ("Round", "AMF"), (("0", "0.500"),))))
      Success
      <BLANKLINE>
      | Round | AMF |
      | ---: | :--- |
      | 0 | 0.500 |
    """
    alignment = ("---:", *(":---" for _ in table.columns[1:]))
    lines = [
        f"| {' | '.join(row)} |" for row in (table.columns, alignment, *table.rows)
    ]
    return "\n".join([table.title, "", *lines])
