"""From a resolved config to a driver that is ready to run."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from amf_jax import errors, learners
from amf_jax.driver import ActiveFineTuner
from experiments import methods
from experiments.builders import (
    base,
    gaussian_process,
    gaussian_process_program,
    neural,
)
from experiments.configs import fields
from experiments.suites.base import Act, Suite


class Entry(NamedTuple):
    """A registered suite.

    Attributes:
      build: makes what a config describes of a method.
      check: raises what `build` would say about the two, but starts no simulator.
      program: whole runs as one pure function; None for a suite that is a simulator.
    """

    build: Callable[[ConfigDict, methods.Method], base.Parts]
    check: Callable[[ConfigDict, methods.Method], None]
    program: base.Program | None = None


#: The registry of suites: one line each.
SUITES: Mapping[str, Entry] = {
    "integrator": Entry(
        gaussian_process.build, gaussian_process.check, gaussian_process_program.PROGRAM
    ),
    "metaworld": Entry(neural.metaworld, neural.check),
    "kitchen": Entry(neural.kitchen, neural.check),
}

#: The largest budget: buffers have room for all of it from the beginning.
_MOST_DEMONSTRATIONS = 100_000


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One run, ready to run.

    Attributes:
      tuner: runs or resumes the rounds.
      suite: to close when done.
    """

    tuner: ActiveFineTuner
    suite: Suite


def check(config: ConfigDict) -> None:
    """Refuses a config that cannot be run, before anything is started or trained.

    Raises:
      UnknownNameError: for a suite, method or option that does not exist.
      InvalidArgumentError: for options out of range or that contradict each other.
    """
    if config.suite not in SUITES:
        raise errors.UnknownNameError("suite", config.suite, SUITES)
    fields.check(config, fields.RUN)
    method = methods.get(config.method)
    budget = config.rounds * config.batch * config.demos_per_round
    if budget > _MOST_DEMONSTRATIONS:
        raise errors.InvalidArgumentError(
            f"rounds × batch × demos_per_round must be at most {_MOST_DEMONSTRATIONS},"
            f" got {budget}"
        )
    SUITES[config.suite].check(config, method)


def build(
    config: ConfigDict,
    checkpoint_dir: str | Path | None = None,
    identity: Any = None,
) -> Experiment:
    """Builds the suite, learner, selector and driver that a config describes.

    Raises:
      AmfError: as `check`.
    """
    check(config)
    parts = SUITES[config.suite].build(config, methods.get(config.method))
    suite = parts.suite
    tuner: ActiveFineTuner

    def demonstrate(task: int | np.ndarray, round_index: int, count: int):
        collected = tuner.collected
        if isinstance(task, int):
            number = int(np.sum(np.asarray(collected.task_ids) == task))
            entropy = base.entropy_by_task(config.seed, task, number)
        else:
            before = int(np.sum(collected.demo_mask) - np.sum(tuner.demos.demo_mask))
            entropy = base.entropy_by_round(config.seed, round_index, before)
        return suite.demonstrate(entropy, task, count)

    def evaluate(act: Act, state: learners.LearnerState, round_index: int):
        entropy = (config.seed, base.EVALUATION, round_index)
        metrics: dict[str, Any] = dict(suite.evaluate(act, entropy, config.attempts))
        if metrics.get("success") is not None:
            metrics["success"] = np.asarray(metrics["success"]).tolist()
            metrics["mean_success"] = float(np.mean(metrics["success"]))
        return {**metrics, **parts.measure(state)}

    tuner = ActiveFineTuner(
        learner=parts.learner,
        selector=parts.selector,
        tasks=suite.tasks,
        pretraining=parts.pretraining,
        demonstrate=demonstrate,
        evaluate=evaluate if config.attempts else None,
        rounds=config.rounds,
        demos_per_round=config.demos_per_round,
        batch=config.batch,
        seed=config.seed,
        history=parts.history,
        task_names=suite.task_names,
        checkpoint_dir=checkpoint_dir,
        checkpoint_every=config.checkpoint_every,
        identity=identity,
    )
    return Experiment(tuner, suite)
