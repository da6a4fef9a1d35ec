"""`python -m experiments.report`: writes RESULTS.md from the evidence alone."""

import argparse
import difflib
from collections.abc import Sequence
from pathlib import Path

from amf_jax import files
from amf_jax.errors import ResultsError
from experiments import command, output
from experiments.report.page import page
from experiments.runs import collect_all


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.report",
        description="Write the report on the paper's claims from result files;"
        " nothing is simulated.",
    )
    parser.add_argument(
        "--evidence",
        default="evidence",
        help="folder of results (default: %(default)s)",
    )
    parser.add_argument(
        "--output",
        default="RESULTS.md",
        type=Path,
        help="the report (default: %(default)s)",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing; fail if the report is not what the evidence gives",
    )
    return parser


def _update(options: argparse.Namespace) -> None:
    evidence = collect_all(files.local_path("evidence", options.evidence))
    if not evidence:
        raise ResultsError(f"no finished runs in {options.evidence}")
    text = page(evidence, Path("docs/figures"))
    try:
        if options.check:
            _compare(options.output, options.output.read_text(encoding="utf-8"), text)
        else:
            with output.replacing(options.output) as scratch:
                scratch.write_text(text, encoding="utf-8")
            print(options.output)
    except OSError as error:
        raise ResultsError(
            f"output: {options.output}: {output.reason(error)}"
        ) from error


def _compare(report: Path, present: str, text: str) -> None:
    difference = difflib.unified_diff(
        present.splitlines(),
        text.splitlines(),
        str(report),
        "evidence",
        n=0,
        lineterm="",
    )
    if changed := list(difference):
        shown = "\n".join(changed[:20])
        raise ResultsError(
            f"{report} is not what the evidence gives; run python -m"
            f" experiments.report. The first differences:\n{shown}"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status."""
    return command.run(_parser(), arguments, _update)


if __name__ == "__main__":
    command.start(main)
