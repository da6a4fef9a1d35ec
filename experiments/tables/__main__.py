"""`python -m experiments.tables <results_dir>`: ranks the methods of every setting."""

import argparse
from collections.abc import Sequence

from amf_jax.errors import ResultsError
from experiments import command, folders, tables


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.tables",
        description="Rank the methods of every suite and setting from result files;"
        " nothing is simulated.",
        epilog=tables.LEGEND,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "folders",
        metavar="results_dir",
        nargs="*",
        default=[],
        help=f"{folders.HELP}; tables have a column that tells the folder, within which"
        " P(better) compares",
    )
    parser.add_argument(
        "--results_dir",
        action="append",
        default=[],
        help="the same, once for each folder, as in other commands",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="tables in Markdown")
    form.add_argument(
        "--csv", action="store_true", help="one table of numbers, for programs"
    )
    return parser


def _print(options: argparse.Namespace) -> None:
    given = folders.parse([*options.folders, *options.results_dir] or ["results"])
    found = folders.collect_side_by_side(given)
    if not found:
        listed = " or ".join(str(folder.path) for folder in given)
        raise ResultsError(f"no finished runs in {listed}")
    boards = [tables.rank(by_method) for by_method in found.values()]
    if options.csv:
        print(tables.to_csv(boards), end="")
        return
    write = tables.to_markdown if options.markdown else tables.to_text
    parts = [write(tables.leaderboard(board)) for board in boards]
    print("\n\n".join([*(part.strip("\n") for part in parts), tables.LEGEND]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status."""
    return command.run(_parser(), arguments, _print)


if __name__ == "__main__":
    command.start(main)
