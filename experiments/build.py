"""From a resolved config to a driver that is ready to run."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from amf_jax import errors, learners
from amf_jax.session.driver import ActiveFineTuner
from experiments import methods
from experiments.builders import base, registry
from experiments.configs import fields
from experiments.suites.base import Act, Environment
from experiments.suites.registry import SUITES

#: The largest budget: buffers have room for all of it from the beginning.
_MOST_DEMONSTRATIONS = 100_000


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One run, ready to run.

    Attributes:
      tuner: runs or resumes the rounds.
      environment: to close when done.
    """

    tuner: ActiveFineTuner
    environment: Environment


def check(config: ConfigDict) -> None:
    """Refuses a config that cannot be run, before anything is started or trained.

    Raises:
      UnknownNameError: for a suite, method or option that does not exist.
      InvalidArgumentError: for options out of range or that contradict each other.
    """
    errors.check_name("suite", config.suite, SUITES)
    fields.check(config, fields.of(config))
    builder, suite = registry.of(config), SUITES[config.suite]
    if missing := builder.fields.keys() - fields.flat(config).keys():
        raise errors.InvalidArgumentError(
            f"policy.name={registry.policy_name(config)!r} needs {min(missing)}, which"
            f" configs of {suite.name} do not have: its policy is {suite.policy!r}"
        )
    method = methods.get(config.method)
    budget = config.rounds * config.batch * config.demos_per_round
    if budget > _MOST_DEMONSTRATIONS:
        raise errors.InvalidArgumentError(
            f"rounds × batch × demos_per_round must be at most {_MOST_DEMONSTRATIONS},"
            f" got {budget}"
        )
    builder.check(config, method, suite)


def build(
    config: ConfigDict,
    checkpoint_dir: str | Path | None = None,
    identity: Any = None,
) -> Experiment:
    """Builds the environment, learner, selector and driver that a config describes.

    Raises:
      AmfError: as `check`.
    """
    check(config)
    suite = SUITES[config.suite]
    environment = suite.make(config)
    method = methods.get(config.method)
    parts = registry.of(config).build(config, method, suite, environment)
    tuner: ActiveFineTuner

    def demonstrate(task: int | np.ndarray, round_index: int, count: int):
        collected = tuner.collected
        if isinstance(task, int):
            number = int(np.sum(np.asarray(collected.task_ids) == task))
            seed = base.seed_by_task(config.seed, task, number)
        else:
            before = int(np.sum(collected.demo_mask) - np.sum(tuner.demos.demo_mask))
            seed = base.seed_by_round(config.seed, round_index, before)
        return environment.demonstrate(seed, task, count)

    def evaluate(act: Act, state: learners.LearnerState, round_index: int):
        seed = (config.seed, base.EVALUATION, round_index)
        metrics: dict[str, Any] = dict(environment.evaluate(act, seed, config.attempts))
        if metrics.get("success") is not None:
            metrics["success"] = np.asarray(metrics["success"]).tolist()
            metrics["mean_success"] = float(np.mean(metrics["success"]))
        return {**metrics, **parts.measure(state)}

    tuner = ActiveFineTuner(
        learner=parts.learner,
        selector=parts.selector,
        tasks=environment.tasks,
        pretraining=parts.pretraining,
        demonstrate=demonstrate,
        evaluate=evaluate if config.attempts else None,
        rounds=config.rounds,
        demos_per_round=config.demos_per_round,
        batch=config.batch,
        seed=config.seed,
        history=parts.history,
        task_names=environment.task_names,
        checkpoint_dir=checkpoint_dir,
        checkpoint_every=config.checkpoint_every,
        identity=identity,
    )
    return Experiment(tuner, environment)
