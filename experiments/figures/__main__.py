"""`python -m experiments.figures <name>`: redraws a figure from results alone."""

import argparse
import warnings
from collections.abc import Sequence

from amf_jax import files
from experiments import command, figures, folders
from experiments.figures.data import NoResultsError
from experiments.figures.estimates import IQM, MEAN
from experiments.runs import ResultsWarning


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, figures.FIGURES)) + 2
    lines = [
        f"  {name:<{width}}{entry.about}" for name, entry in figures.FIGURES.items()
    ]
    parser = argparse.ArgumentParser(
        prog="python -m experiments.figures",
        description="Draw a figure from result files; nothing is simulated.",
        epilog="\n".join(["figures:", *lines]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", help="one of the figures below, or all")
    parser.add_argument(
        "--results_dir",
        action="append",
        help=f"{folders.HELP}; given once for each, curves have a line per folder",
    )
    parser.add_argument(
        "--output", default="figures", help="folder for the PNG (default: %(default)s)"
    )
    parser.add_argument(
        "--iqm",
        action="store_const",
        const=IQM,
        default=MEAN,
        dest="estimate",
        help="show the interquartile mean over seeds and tasks with its stratified "
        "bootstrap interval, instead of the mean over seeds",
    )
    return parser


def _draw(options: argparse.Namespace) -> None:
    """Draws one figure, or all those that have results, and prints the paths."""
    found = folders.parse(options.results_dir or ["results"])
    output = files.local_path("output", options.output)
    where = (found, output, options.estimate)
    if options.name != "all":
        print(figures.draw(options.name, *where))
        return
    drawn = 0
    for name in figures.FIGURES:
        try:
            print(figures.draw(name, *where))
            drawn += 1
        except NoResultsError as error:
            warnings.warn(f"{name}: {error}", ResultsWarning, stacklevel=2)
    if not drawn:
        listed = " or ".join(str(folder.path) for folder in found)
        raise NoResultsError(f"no figure has any results in {listed}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status."""
    return command.run(_parser(), arguments, _draw)


if __name__ == "__main__":
    command.start(main)
