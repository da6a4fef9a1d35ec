"""A whole run of a Gaussian process as one pure function, to be mapped over seeds."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jaxtyping import Array, Key
from ml_collections import ConfigDict

from amf_jax import loop
from amf_jax.demonstrations import Demonstrations
from experiments import methods
from experiments.builders import base, gaussian_process
from experiments.suites.base import Suite

#: Demonstrations that the buffers have room for at first. Rounds cost what the buffers
#: hold room for, and each doubling is another program to compile.
_FIRST_CAPACITY = 20


class Inputs(NamedTuple):
    """What differs between runs of one program.

    Attributes:
      key: of every random decision.
      pretraining: the demonstrations; which tasks they show is the setting.
      noise: of the expert.
    """

    key: Key[Array, ""]
    pretraining: Demonstrations
    noise: Any


def _run(config: ConfigDict, suite: Suite) -> Callable[[Inputs], loop.Rounds]:
    assert suite.traced is not None
    traced, environment = suite.traced, suite.make(config)
    selector = gaussian_process.selector(config, methods.get(config.method), suite)
    measure = gaussian_process.entropy_measure(environment)
    per_round = config.batch * config.demos_per_round
    first = -(-_FIRST_CAPACITY // per_round) * per_round

    def run(inputs: Inputs) -> loop.Rounds:
        return loop.run(
            inputs.key,
            lambda demos: gaussian_process.learner(config, demos),
            selector,
            traced.environment(inputs.noise, measure if config.attempts else None),
            environment.tasks,
            gaussian_process.blank(config, environment),
            rounds=config.rounds,
            pretraining=inputs.pretraining,
            history=inputs.pretraining,
            demos_per_round=config.demos_per_round,
            batch=config.batch,
            capacities=loop.doubling(first, config.rounds * per_round),
        )

    return run


def _inputs(config: ConfigDict, suite: Suite) -> Inputs:
    assert suite.traced is not None
    seed, count = config.seed, config.demos_per_round
    places = range(0, config.batch * count, count)
    noise = suite.traced.draw(
        [
            [base.seed_by_round(seed, index, before) for before in places]
            for index in range(1, config.rounds + 1)
        ],
        [
            [
                base.seed_by_task(seed, task, number)
                for number in range(0, config.rounds * len(places) * count, count)
            ]
            for task in range(len(suite.task_names))
        ],
        count,
    )
    environment = suite.make(config)
    shown = base.pretraining(environment, seed, suite.counts(config))
    return Inputs(jax.random.key(seed), shown, noise)


PROGRAM = base.Program(_inputs, _run)
