"""Runs read back from results and evidence: which there are, whether they compare."""

import os
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from amf_jax.errors import ResultsError
from experiments import reading, results
from experiments.reading import Run

#: Fields that may differ between the curves of one figure without a warning.
VARYING_FIELDS = results.LOCATION_FIELDS | {
    "method",
    "seed",
    "setting",
    "allocation",
    "demonstrated_tasks",
}


class ResultsWarning(UserWarning):
    """Results were left out, or are not quite comparable."""


def collect(
    results_dir: str | os.PathLike[str], suite: str, setting: str, method: str
) -> list[Run]:
    """All runs of one suite, setting and method, by ascending seed; [] if none.

    They are read alike from result files, one for each seed, and from evidence.

    Raises:
      ResultsError: if a file is broken, holds another run than its place says, or was
        written by another config than its neighbours (seed and results_dir aside) or
        when the method's name stood for something else; if the folder has both result
        files and evidence of the method.
    """
    folder = results.path(results_dir, suite, setting, method, 0).parent
    found = {}
    for file in folder.glob("seed*.jsonl"):
        if match := re.fullmatch(r"seed(0|[1-9][0-9]*)", file.stem):
            found[int(match[1])] = file
    evidence = results.evidence_path(results_dir, suite, setting, method)
    if not evidence.exists():
        located = [
            (str(file), seed, reading.read(file))
            for seed, file in sorted(found.items())
        ]
    elif not found:
        located = [
            (f"{evidence}, line {line}", run.seed, run)
            for line, run in enumerate(reading.read_evidence(evidence), start=1)
        ]
    else:
        raise ResultsError(
            f"{evidence} and {folder} both hold runs of {method}; keep evidence and"
            " results in folders of their own"
        )
    for where, seed, run in located:
        _check_place(where, run, suite, setting, method, seed)
    runs = [run for _, _, run in located]
    require_alike(folder, runs)
    return runs


def require_alike(folder: Path, runs: Iterable[Run]) -> None:
    """Refuses runs of several configs, seeds and places aside.

    Args:
      folder: where they are kept, for the message.
      runs: of one suite, setting and method.

    Raises:
      ResultsError: naming the fields that differ.
    """
    ignored = results.LOCATION_FIELDS | {"seed"}
    # Not the first run alone: it may not tell its method.
    unlike: list[tuple[Any, Run]] = []
    for run in runs:
        config = {name: run.config[name] for name in run.config if name not in ignored}
        told = (config, run.header.get("method"))
        if any(told == known for known, _ in unlike):
            continue
        for _, other in unlike:
            differing = reading.header_differences(other.header, run.header, ignored)
            if differing:
                raise ResultsError(
                    f"{folder} mixes results of several configs. Fields that differ "
                    f"(seed {other.seed}, seed {run.seed}): {'; '.join(differing)}. "
                    "Keep each config in its own results_dir"
                )
        unlike.append((told, run))


def _check_place(
    where: str, run: Run, suite: str, setting: str, method: str, seed: int
) -> None:
    """Refuses a file that was moved: tables and figures go by its place.

    Raises:
      ResultsError: naming where it is, and what its header says instead.
    """
    told = [("suite", suite), ("setting", setting), ("seed", seed)]
    if not method.startswith("study_"):  # whose configs are of the method they study
        told.append(("method", method))
    # Not every file tells everything in its config.
    held = [(field, run.config.get(field, place), place) for field, place in told]
    for field, value, place in [("seed", run.seed, seed), *held]:
        if str(value) != str(place):
            raise ResultsError(
                f"{where} holds the results of {field} {value}, not of {place}; move it"
                " to where it belongs"
            )


def collect_all(
    results_dir: str | os.PathLike[str],
) -> dict[tuple[str, str], dict[str, list[Run]]]:
    """All finished runs below a folder; studies, which compare nothing, left out.

    Returns:
      Runs by method, by (suite, setting), each in the order of its name, with numbers
      in a name as numbers; a method none of whose runs is finished is left out.

    Raises:
      ResultsError: as for `collect`.
    """
    found: dict[tuple[str, str], dict[str, list[Run]]] = {}
    for suite, setting, method in places(results_dir):
        if method.startswith("study_"):
            continue
        runs = collect(results_dir, suite, setting, method)
        if any(reading.is_complete(run, run.config["rounds"]) for run in runs):
            found.setdefault((suite, setting), {})[method] = finished(runs)
        else:
            warnings.warn(
                f"{suite} {setting} {method} is left out: no run is finished",
                ResultsWarning,
                stacklevel=2,
            )
    return found


def places(
    results_dir: str | os.PathLike[str], pattern: str = "*/*/*"
) -> list[tuple[str, str, str]]:
    """Suite, setting and method of all runs below a folder, results or evidence.

    Args:
      results_dir: the folder.
      pattern: of `<suite>/<setting>/<method>`, as for `Path.glob`.

    Returns:
      Each in the order of its name, with numbers in a name as numbers.
    """
    root = Path(results_dir)
    found = {file.parent for file in root.glob(f"{pattern}/seed*.jsonl")}
    found |= {file.with_suffix("") for file in root.glob(f"{pattern}.jsonl")}
    parts = [place.relative_to(root).parts for place in found]
    return sorted(((a, b, c) for a, b, c in parts), key=_natural)


def _natural(names: Iterable[str]) -> list[list[tuple[int, str]]]:
    """Sorts "2" before "10"; names without digits as they are."""
    return [
        [(int(part or 0), text) for text, part in re.findall(r"(\D*)(\d*)", name)]
        for name in names
    ]


def matched(first: Sequence[Run], second: Sequence[Run]) -> tuple[list[Run], list[Run]]:
    """The runs of the seeds that both have, in the same order; warns of the others."""
    ours = {run.seed: run for run in first}
    theirs = {run.seed: run for run in second}
    if unmatched := ours.keys() ^ theirs.keys():
        names = " and ".join(name_of(group) for group in (first, second) if group)
        warnings.warn(
            f"{names}: seeds {', '.join(map(str, sorted(unmatched)))} are not in both "
            "and are left out of the comparison",
            ResultsWarning,
            stacklevel=2,
        )
    common = sorted(ours.keys() & theirs.keys())
    return [ours[seed] for seed in common], [theirs[seed] for seed in common]


def finished(runs: Sequence[Run]) -> list[Run]:
    """The runs that recorded every round of their config, warning about the others.

    Where no run is finished all that began are returned: what there is can still be
    looked at.
    """
    whole: list[Run] = []
    partial: list[Run] = []
    for run in runs:
        finished = reading.is_complete(run, run.config["rounds"])
        (whole if finished else partial).append(run)
    if partial:
        seeds = ", ".join(str(run.seed) for run in partial)
        fate = "left out" if whole else "shown up to the last round they share"
        warnings.warn(
            f"{name_of(partial)}: unfinished runs (seeds {seeds}) are {fate}",
            ResultsWarning,
            stacklevel=2,
        )
    return whole or [run for run in partial if run.records]


def name_of(runs: Sequence[Run]) -> str:
    """Suite, setting and method of runs, for messages."""
    config = runs[0].config
    return f"{config['suite']} {config['setting']} {config['method']}"


def warn_if_incomparable(runs: Mapping[str, Sequence[Run]]) -> None:
    """Warns where the curves of one figure or table come from unlike configs.

    Args:
      runs: runs by the name of the curve they make.
    """
    configs = {name: reading.complete(group[0].config) for name, group in runs.items()}
    fields = dict.fromkeys(field for config in configs.values() for field in config)
    for field in fields:
        if field in VARYING_FIELDS:
            continue
        names: dict[str, list[str]] = {}
        for name, config in configs.items():
            names.setdefault(repr(config.get(field)), []).append(name)
        if len(names) > 1:
            listed = "; ".join(f"{v} for {', '.join(n)}" for v, n in names.items())
            warnings.warn(
                f"results of mixed configs, {field} is {listed}",
                ResultsWarning,
                stacklevel=2,
            )
