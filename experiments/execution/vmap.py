"""The launcher `vmap`: all seeds of a setting and method in one jitted program.

Processes, crashes and Ctrl-C are those of the launcher `local`. What it hands to a
process are the seeds of a setting and method that are not finished; they are run from
their beginning and finish together.
"""

import contextlib
import functools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict, FrozenConfigDict

from amf_jax import errors, interrupt, loop, provenance, selectors
from amf_jax.records import Record, round_record
from amf_jax.selectors.batch import tasks_of
from experiments import methods, results
from experiments.builders import registry
from experiments.configs import fields
from experiments.execution import local, runner
from experiments.execution.launchers import Observer, Outcome
from experiments.execution.worker import Job
from experiments.suites.registry import SUITES

#: Runs that a message names at most.
_NAMED = 5

#: Without these, XLA compiles in half the time, and what it makes is no slower.
_CPU_OPTIONS = {"xla_cpu_use_fusion_emitters": False}


def check(jobs: Sequence[Job]) -> None:
    """Refuses jobs of suites that cannot be traced, and what `local` refuses.

    Raises:
      InvalidArgumentError: naming them.
    """
    local.check(jobs)
    configs = [job.config for job in jobs]
    refused = [one for one in configs if not _traceable(one)]
    if not refused:
        return
    names = list(
        dict.fromkeys(f"{one.suite} {one.setting} {one.method}" for one in refused)
    )
    listed = ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")
    known = ", ".join(suite.name for suite in SUITES.values() if suite.traced)
    raise errors.InvalidArgumentError(
        "launcher 'vmap' runs whole experiments in one program, which needs an expert"
        f" and an evaluation that can be traced ({known}); it cannot run {listed}."
        " Leave these out of settings, or use --launcher=local"
    )


def _traceable(config: ConfigDict) -> bool:
    builder, suite = registry.of(config), SUITES[config.suite]
    return builder.program is not None and suite.traced is not None


def run(
    execute: Callable[[ConfigDict], object],
    jobs: Sequence[Job],
    workers: int,
    observer: Observer,
    cache: Path,
) -> Outcome:
    """Runs `workers` settings and methods at a time; a `Launcher`.

    Args:
      execute: not used, as jobs are not run one by one.
      jobs: of suites that can be traced, see `check`.
      workers: processes.
      observer: told of every job.
      cache: as for other launchers.
    """
    del execute
    groups: dict[Path, list[Job]] = {}
    for job in jobs:
        groups.setdefault(job.results.parent, []).append(job)
    joint = [_joint(members) for members in groups.values()]
    outcome = local.run(run_seeds, joint, workers, _Members(groups, observer), cache)

    def members(job: Job) -> list[Job]:
        return groups[job.results.parent]

    return Outcome(
        [one for job in outcome.finished for one in members(job)],
        [(one, message) for job, message in outcome.failed for one in members(job)],
        outcome.interrupted,
    )


def _joint(members: Sequence[Job]) -> Job:
    """A job that stands for all seeds of its folder, with the log of the first."""
    config = ConfigDict(members[0].config)
    with config.unlocked():
        config.seeds = tuple(member.config.seed for member in members)
    return members[0]._replace(config=config)


class _Members:
    """Tells an observer of each job what happens to those that stand for several."""

    def __init__(self, groups: dict[Path, list[Job]], observer: Observer):
        self._groups = groups
        self._observer = observer
        self.stopping = observer.stopping
        self.tick = observer.tick

    def started(self, job: Job) -> None:
        for member in self._groups[job.results.parent]:
            self._observer.started(member)

    def finished(self, job: Job) -> None:
        for member in self._groups[job.results.parent]:
            self._observer.finished(member)

    def failed(self, job: Job, message: str, final: bool) -> None:
        for member in self._groups[job.results.parent]:
            self._observer.failed(member._replace(log=job.log), message, final)


def run_seeds(config: ConfigDict) -> list[Path]:
    """Runs all seeds of a setting and method, from their beginning to their end.

    The results files are those of `runner.execute`, written when all rounds of all
    seeds are through: until then nothing is kept. `seconds` of a round is its share of
    the whole. Ctrl-C waits for them, a second one does not.

    Args:
      config: of one of the runs, and `seeds`, which are run.

    Returns:
      The results files.

    Raises:
      ResultsError: a folder is not writable, or its file is another config's.
      RunInUseError: another process is at one of them.
      SelectionError: a selector could not rank its candidates.
    """
    configs = [_of_seed(config, seed) for seed in config.seeds]
    with contextlib.ExitStack() as stack:
        paths = [stack.enter_context(runner.claimed(one)) for one in configs]
        stack.enter_context(interrupt.deferred(print))
        started = time.perf_counter()
        program, suite = registry.of(config).program, SUITES[config.suite]
        assert program is not None  # checked by the launcher
        each = [program.inputs(one, suite) for one in configs]
        inputs = jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)
        shared = FrozenConfigDict(_shared(configs[0]))
        done = jax.device_get(_mapped(shared)(inputs))
        share = (time.perf_counter() - started) / (len(configs) * config.rounds)
        for i, (one, path) in enumerate(zip(configs, paths, strict=True)):
            rounds = jax.tree.map(lambda leaf, i=i: leaf[i], done)
            try:
                records = _records(one, rounds, share)
            except Exception as error:
                error.add_note(f"(seed {one.seed})")
                raise
            sessions = [provenance.session(first_round=0)]
            results.write(path, runner.header(one, sessions), records)
    return paths


@functools.cache  # one program for all settings, compiled once in a process
def _mapped(shared: FrozenConfigDict) -> Callable[[Any], loop.Rounds]:
    config = ConfigDict(shared)
    program = registry.of(config).program
    assert program is not None
    run = program.run(config, SUITES[config.suite])
    on_cpu = jax.default_backend() == "cpu"

    def mapped(inputs):
        # On a CPU, seeds side by side only push each other out of the cache.
        return jax.lax.map(run, inputs) if on_cpu else jax.vmap(run)(inputs)

    return jax.jit(mapped, compiler_options=_CPU_OPTIONS if on_cpu else None)


def _shared(config: ConfigDict) -> ConfigDict:
    """The config of all runs that share a program, whatever seed and setting.

    The setting is the first one, unless the selector is told what pre-training shows.
    """
    shared = ConfigDict(config)
    with shared.unlocked():
        shared.update(seed=0, results_dir="")
        if not selectors.get(methods.get(config.method).selector).needs_counts:
            suite = SUITES[config.suite]
            first = suite.get_config(f"{suite.settings[0]},{config.preset}")
            shared.update(fields.of_setting(first))
    return shared


def _of_seed(config: ConfigDict, seed: int) -> ConfigDict:
    one = ConfigDict(config)
    with one.unlocked():
        del one.seeds
        one.seed = seed
    return one


def _records(config: ConfigDict, rounds: loop.Rounds, share: float) -> list[Record]:
    """The records of one seed, as the driver makes them."""
    per_round = config.batch * config.demos_per_round
    num_tasks = len(config.task_names)
    rows = np.arange(rounds.demos.demo_mask.size)
    seconds = dict.fromkeys(("select", "finetune", "evaluate"))
    records = []
    for index in range(config.rounds + 1):
        asked, infos, training = [], None, {}
        if index:
            choices, infos, training = jax.tree.map(
                lambda leaf, index=index: leaf[index - 1],
                (rounds.choices, rounds.infos, rounds.training),
            )
            asked = tasks_of(choices, infos, config.task_names)
        record = round_record(
            index,
            asked,
            rounds.demos._replace(demo_mask=rows < index * per_round),
            num_tasks,
            None if rounds.mixing is None else rounds.mixing[index],
            infos,
            {name: values[index].item() for name, values in rounds.metrics.items()},
            {**seconds, "share": share if index else 0.0},
            training=training,
        )
        records.append(record)
    return records
