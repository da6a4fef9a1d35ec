"""`python -m experiments.studies <name>`: computes a study and draws its figure."""

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from amf_jax.errors import AmfError, InvalidArgumentError, UnknownNameError
from experiments import figures
from experiments.runs import ResultsWarning
from experiments.studies import STUDIES, run


def _parser() -> argparse.ArgumentParser:
    lines = [f"  {name:<10}{study.about}" for name, study in STUDIES.items()]
    parser = argparse.ArgumentParser(
        prog="python -m experiments.studies",
        description="Compute what a single look at the integrator shows, and draw it.",
        epilog="\n".join(["studies:", *lines]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", help="one of the studies below, or all")
    parser.add_argument(
        "--results_dir", default="results", help="folder of results (default: results)"
    )
    parser.add_argument(
        "--seeds",
        type=int,
        help="how many, from 0 on (default: 10 for figure21 and 3 for bound, which"
        " average them, and 1 for the others, which show the first)",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status, as in `experiments.figures`."""
    parser = _parser()
    options = parser.parse_args(arguments)
    folder = Path(options.results_dir)
    names = STUDIES if options.name == "all" else (options.name,)
    try:
        for name in names:
            for path in run(name, folder, options.seeds):
                print(path)
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", ResultsWarning)
                print(figures.draw(name, folder, folder / "figures"))
            for message in dict.fromkeys(str(warning.message) for warning in caught):
                print(f"note: {message}", file=sys.stderr)
    except (UnknownNameError, InvalidArgumentError) as error:
        parser.error(str(error))
    except AmfError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; the study starts anew next time", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
