"""`python -m experiments.studies <name>`: computes a study and draws its figure."""

import argparse
import sys
from collections.abc import Sequence

from amf_jax import files
from experiments import command, figures, threads
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
        help="how many, from 0 on (default: 10 for figure21, 3 for bound and 6 for"
        " search, which average them, and 1 for the others, which show the first)",
    )
    return parser


def _study(options: argparse.Namespace) -> None:
    figures.require_matplotlib()  # before hours of work, not after
    folder = files.local_path("results_dir", options.results_dir)
    for name in STUDIES if options.name == "all" else (options.name,):
        for path in run(name, folder, options.seeds):
            print(path)
        print(figures.draw(name, folder, folder / "figures"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status."""
    try:
        return command.run(_parser(), arguments, _study)
    except KeyboardInterrupt:
        print("stopped; the study starts anew next time", file=sys.stderr)
        return 130


if __name__ == "__main__":
    threads.limit(1)  # as all their configs say
    command.start(main)
