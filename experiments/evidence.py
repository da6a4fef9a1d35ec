"""`python -m experiments.evidence`: takes finished runs into the committed evidence.

All seeds of a method share a file, `<evidence>/<suite>/<setting>/<method>.jsonl`. A
line is a run: the header of its result file and `records`, by columns, without what no
table, figure or report reads.
"""

import argparse
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from amf_jax import files
from amf_jax.errors import ResultsError
from experiments import command, output, reading, results, runs, series
from experiments.columns import columns
from experiments.reading import Run

#: Diagnostics of a choice: most of a result file.
_DIAGNOSTICS = frozenset({"scores", "ess", "importance_weights"})

#: The method whose importance weights between tasks are drawn.
_WEIGHTED = "amf"


def lean(run: Run) -> Run:
    """A run without what no table, figure or report reads.

    Scores and effective sample sizes go, and importance weights but for those of AMF
    between evaluation tasks, which are drawn. Seconds are rounded to 0.1 ms.
    """
    drawn = run.config["method"] == _WEIGHTED and all(
        isinstance(task, int) for task in series.asked(run)
    )
    dropped = _DIAGNOSTICS - {"importance_weights"} if drawn else _DIAGNOSTICS
    records = []
    for record in run.records:
        kept = {name: value for name, value in record.items() if name not in dropped}
        if seconds := kept.get("seconds"):
            kept["seconds"] = {
                part: value if value is None else round(value, 4)
                for part, value in seconds.items()
            }
        records.append(kept)
    return run._replace(records=records)


def write(path: Path, kept: Iterable[Run]) -> None:
    """Writes a file of evidence: the old one stays until the new one is whole.

    Args:
      path: the file; its folder is created if need be.
      kept: runs of one suite, setting and method by ascending seed, each with a record.

    Raises:
      ResultsError: it cannot be written.
    """
    lines = [{**run.header, "records": columns(run.records)} for run in kept]
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    with output.replacing(path) as scratch:
        scratch.write_text(text, encoding="utf-8")


def add(
    results_dir: str | os.PathLike[str], evidence_dir: str | os.PathLike[str]
) -> list[Path]:
    """Takes the finished runs of a folder, and its studies, into the evidence.

    A seed that the evidence has already is replaced; its others stay.

    Returns:
      The files that were written.

    Raises:
      ResultsError: there is no finished run, a file is broken, the runs of a method
        would be of several configs, or `evidence_dir` is a folder of results: nothing
        is written then. Or a file cannot be written.
    """
    merged: dict[Path, list[Run]] = {}
    for place in runs.places(results_dir):
        path = results.evidence_path(evidence_dir, *place)
        if path.with_suffix("").exists():
            raise ResultsError(
                f"evidence: {evidence_dir} is a folder of results, with"
                f" {path.with_suffix('')}; give evidence a folder of its own"
            )
        found = runs.collect(results_dir, *place)
        if place[-1].startswith("study_"):
            taken = [run for run in found if run.records]
        else:
            taken = [
                lean(run)
                for run in found
                if reading.is_complete(run, run.config["rounds"])
            ]
        if taken:
            by_seed = {run.seed: run for run in runs.collect(evidence_dir, *place)}
            by_seed |= {run.seed: run for run in taken}
            merged[path] = [by_seed[seed] for seed in sorted(by_seed)]
            runs.require_alike(path, merged[path])
    if not merged:
        raise ResultsError(f"no finished runs in {results_dir}")
    for path, kept in merged.items():
        write(path, kept)
    return [*merged]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.evidence",
        description="Take the finished runs of a folder of results into the committed"
        " evidence, without what no table, figure or report reads.",
    )
    parser.add_argument(
        "results_dir",
        nargs="?",
        default="results",
        help="folder of results (default: %(default)s)",
    )
    parser.add_argument(
        "--evidence", default="evidence", help="folder to add to (default: %(default)s)"
    )
    return parser


def _add(options: argparse.Namespace) -> None:
    source = files.local_path("results_dir", options.results_dir)
    for path in add(source, files.local_path("evidence", options.evidence)):
        print(path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status."""
    return command.run(_parser(), arguments, _add)


if __name__ == "__main__":
    command.start(main)
