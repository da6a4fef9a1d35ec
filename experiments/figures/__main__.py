"""`python -m experiments.figures <name>`: redraws a figure from results alone."""

import argparse
import sys
import warnings
from collections.abc import Sequence

from amf_jax.errors import AmfError, UnknownNameError
from experiments import figures
from experiments.figures.data import NoResultsError
from experiments.figures.estimates import IQM, MEAN, Estimate
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
        default="results",
        help="folder of results (default: %(default)s)",
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


def _draw(
    name: str, results_dir: str, output_dir: str, estimate: Estimate
) -> list[str]:
    """Draws one figure, or all those that have results; returns the paths."""
    if name != "all":
        return [str(figures.draw(name, results_dir, output_dir, estimate))]
    drawn = []
    for each in figures.FIGURES:
        try:
            drawn.append(str(figures.draw(each, results_dir, output_dir, estimate)))
        except NoResultsError as error:
            warnings.warn(f"{each}: {error}", ResultsWarning, stacklevel=2)
    if not drawn:
        raise NoResultsError(f"no figure has any results in {results_dir}")
    return drawn


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    error = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResultsWarning)
        try:
            paths = _draw(
                options.name, options.results_dir, options.output, options.estimate
            )
            print(*paths, sep="\n")
        except AmfError as raised:
            error = raised
    for message in dict.fromkeys(str(warning.message) for warning in caught):
        print(f"note: {message}", file=sys.stderr)
    if isinstance(error, UnknownNameError):
        parser.error(str(error))
    if error is not None:
        print(f"error: {error}", file=sys.stderr)
    return int(error is not None)


if __name__ == "__main__":
    sys.exit(main())
