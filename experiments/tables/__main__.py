"""`python -m experiments.tables <results_dir>`: ranks the methods of every setting."""

import argparse
import sys
import warnings
from collections.abc import Mapping, Sequence

from amf_jax.errors import AmfError, ResultsError
from experiments import tables
from experiments.results import Run
from experiments.runs import ResultsWarning, collect_all


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.tables",
        description="Rank the methods of every suite and setting from result files;"
        " nothing is simulated.",
        epilog=tables.LEGEND,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "results_dir",
        nargs="?",
        default="results",
        help="folder of results (default: %(default)s)",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="tables in Markdown")
    form.add_argument(
        "--csv", action="store_true", help="one table of numbers, for programs"
    )
    return parser


def _text(
    found: Mapping[tuple[str, str], Mapping[str, Sequence[Run]]],
    options: argparse.Namespace,
) -> str:
    boards = [tables.rank(by_method) for by_method in found.values()]
    if options.csv:
        return tables.to_csv(boards)
    write = tables.to_markdown if options.markdown else tables.to_text
    parts = [write(tables.leaderboard(board)) for board in boards]
    return "\n\n".join([*(part.strip("\n") for part in parts), tables.LEGEND]) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status."""
    options = _parser().parse_args(arguments)
    error = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResultsWarning)
        try:
            found = collect_all(options.results_dir)
            if not found:
                raise ResultsError(f"no finished runs in {options.results_dir}")
            print(_text(found, options), end="")
        except AmfError as raised:
            error = raised
    for message in dict.fromkeys(str(warning.message) for warning in caught):
        print(f"note: {message}", file=sys.stderr)
    if error is not None:
        print(f"error: {error}", file=sys.stderr)
    return int(error is not None)


if __name__ == "__main__":
    sys.exit(main())
