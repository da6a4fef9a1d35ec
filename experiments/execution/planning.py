"""What a sweep consists of, how far it is, and what it still costs."""

import contextlib
import dataclasses
import itertools
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from amf_jax import errors
from experiments import build, methods, reading, results, runs
from experiments.configs import fields, loading, sweeps
from experiments.execution import progress, worker

#: Results the project vouches for; they tell how long a round takes on a fresh clone.
EVIDENCE = Path(__file__).parents[2] / "evidence"

#: Runs looked at to measure the time of a round.
_TIMED_RUNS = 20

#: Fields of a run that a sweep decides, and where.
_PLANNED = {
    "seed": "--config.seeds=<how many>",
    "method": "--config.methods=<method>,…",
    "suite": "--config.settings=<suite>:<setting>,…",
    "setting": "--config.settings=<suite>:<setting>,…",
    "results_dir": "--config.results_dir=<folder>",
}


class Planned(NamedTuple):
    """A run of a sweep and how far it is.

    Attributes:
      job: what to run.
      records: how many records its results file holds.
      finished: whether those are all.
    """

    job: worker.Job
    records: int
    finished: bool


def plan(sweep: ConfigDict, plugins: Sequence[str] = ()) -> list[Planned]:
    """All runs of a sweep, finished or not.

    Seeds are outermost: an interrupted sweep then holds a few seeds of everything
    instead of all seeds of one method.

    Args:
      sweep: its config.
      plugins: modules that every run needs.

    Raises:
      AmfError: a run cannot be configured or contradicts itself, two runs would write
        the same file, or a file was written by another config.
    """
    fields.check(sweep, fields.SWEEP)
    overrides = fields.flat(sweep.overrides)
    for field in overrides:
        if field in _PLANNED:
            raise errors.InvalidArgumentError(
                f"overrides.{field} cannot be set, since runs of a sweep differ in it"
                f" or share it; use {_PLANNED[field]}"
            )
    results.refuse_evidence(sweep.results_dir)
    pairs = _pairs(sweep)
    planned: dict[Path, Planned] = {}
    for seed, (spec, method) in itertools.product(range(sweep.seeds), pairs):
        config = _config(sweep, spec, method, seed, overrides)
        if seed == 0:  # the others differ in nothing that matters here
            build.check(config)
        path = results.path(
            config.results_dir,
            config.suite,
            config.setting,
            config.method,
            config.seed,
        )
        if path in planned:
            raise errors.InvalidArgumentError(
                f"settings: {spec} with {method} would write {path} a second time; keep"
                " each of the two in a results_dir of its own"
            )
        results.require_same_run(path, config, dataclasses.asdict(methods.get(method)))
        run = reading.read(path) if os.path.exists(path) else None
        planned[path] = Planned(
            worker.Job(config, path, path.with_suffix(".log"), tuple(plugins)),
            len(run.records) if run else 0,
            run is not None and reading.is_complete(run, config.rounds),
        )
    if not planned:
        raise errors.InvalidArgumentError(
            "settings and methods must each name at least one; for example"
            " --config.settings=metaworld:8-8-0-0 --config.methods=amf,uniform"
        )
    counts = {entry.job.config.threads for entry in planned.values()}
    if len(counts) > 1:
        raise errors.InvalidArgumentError(
            "threads must be the same for all runs of a sweep, got"
            f" {', '.join(map(str, sorted(counts)))}; use --config.overrides.threads"
        )
    return list(planned.values())


def _pairs(sweep: ConfigDict) -> list[tuple[str, str]]:
    """What is run with every seed: settings × methods, then what the sweep includes."""
    for name in sweep.methods:
        methods.get(name)
    # A comma stands between settings, and between a setting and its options.
    joined = ",".join(sweep.settings)
    settings = re.split(r",(?=[^,]*:)", joined) if joined else []
    pairs = list(itertools.product(settings, sweep.methods))
    for name in sweep.includes:
        included = _pairs(sweeps.get_config(name))
        pairs += [pair for pair in included if pair not in pairs]
    return pairs


def _config(
    sweep: ConfigDict,
    spec: str,
    method: str,
    seed: int,
    overrides: Mapping[str, object],
) -> ConfigDict:
    fields: dict[str, object] = {
        "method": method,
        "seed": seed,
        "results_dir": sweep.results_dir,
    }
    if sweep.rounds is not None:
        fields["rounds"] = sweep.rounds
    option = "" if sweep.preset == "fast" else f",{sweep.preset}"
    return loading.load(spec + option, {**fields, **overrides})


def cost(planned: Sequence[Planned], workers: int) -> str:
    """What a sweep still has to do, in one line."""
    todo = [entry for entry in planned if not entry.finished]
    parts = [f"{len(planned)} runs, {len(planned) - len(todo)} finished"]
    if todo:
        seconds = _estimate(todo)
        workers = min(workers, len(todo))
        parts.append(
            f"{len(todo)} to run on {workers} process{'es' if workers > 1 else ''}"
        )
        parts.append(
            "time unknown until rounds were measured"
            if seconds is None
            else f"about {progress.duration(seconds / workers)}"
        )
    return ", ".join(parts)


def _estimate(todo: Sequence[Planned]) -> float | None:
    """Seconds that one process needs for all missing rounds; None if not known."""
    total = 0.0
    paces: dict[tuple[str, ...], float | None] = {}
    for entry in todo:
        config = entry.job.config
        kind = (config.suite, config.preset, config.method)
        if kind not in paces:
            folders = (Path(config.results_dir), EVIDENCE)
            paces[kind] = seconds_per_round(folders, *kind)
        pace = paces[kind]
        if pace is None:
            return None
        total += pace * (config.rounds + 1 - entry.records)
    return total


def seconds_per_round(
    folders: Iterable[Path], suite: str, preset: str, method: str
) -> float | None:
    """Mean time of a round, from the first folder with results of the suite.

    Where that folder has none of the method, those of all methods tell.
    """
    for folder, name in itertools.product(folders, (method, "*")):
        timed = itertools.islice(_readable(folder, f"{suite}/*/{name}"), _TIMED_RUNS)
        seconds = [
            _seconds(record)
            for run in timed
            if run.config.get("preset") == preset
            for record in run.records[1:]
            if record.get("seconds")
        ]
        if seconds:
            return sum(seconds) / len(seconds)
    return None


def _readable(folder: Path, pattern: str) -> Iterator[reading.Run]:
    """Runs below a folder; a broken file is reported where it matters."""
    for place in runs.places(folder, pattern):
        with contextlib.suppress(errors.ResultsError):
            yield from runs.collect(folder, *place)


def _seconds(record: dict[str, Any]) -> float:
    return sum(value or 0.0 for value in record["seconds"].values())


def describe(entry: Planned) -> str:
    """A run and its state in one line."""
    if entry.finished:
        state = "finished"
    elif entry.records:
        state = f"stopped after round {entry.records - 1} of {entry.job.config.rounds}"
    else:
        state = "to run"
    return f"  {progress.label(entry.job.config)}: {state}"
