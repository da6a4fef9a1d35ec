"""A whole run on the integrator as one pure function, to be mapped over seeds."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key
from ml_collections import ConfigDict

from amf_jax import loop
from amf_jax.demonstrations import Demonstrations
from experiments import methods
from experiments.builders import base, gaussian_process
from experiments.suites import integrator, integrator_traced

#: Demonstrations that the buffers have room for at first. Rounds cost what the buffers
#: hold room for, and each doubling is another program to compile.
_FIRST_CAPACITY = 20


class Inputs(NamedTuple):
    """What differs between runs of one program.

    Attributes:
      key: of every random decision.
      pretraining: 12 demonstrations; which tasks they show is the setting.
      noise: of the expert.
    """

    key: Key[Array, ""]
    pretraining: Demonstrations
    noise: integrator_traced.Noise


def _representative(config: ConfigDict) -> ConfigDict:
    """The same run with seed 0, in setting 1 unless its selector knows the setting."""
    same = ConfigDict(config)
    with same.unlocked():
        same.update(seed=0, results_dir="")
        if methods.get(config.method).selector != "rebalancing":
            same.update(setting="1", demonstrated_tasks=1)
    return same


def _run(config: ConfigDict) -> Callable[[Inputs], loop.Rounds]:
    selector = gaussian_process.selector(config, methods.get(config.method))
    measure = _measure if config.attempts else None
    per_round = config.batch * config.demos_per_round
    first = -(-_FIRST_CAPACITY // per_round) * per_round

    def run(inputs: Inputs) -> loop.Rounds:
        return loop.run(
            inputs.key,
            lambda demos: gaussian_process.learner(config, demos),
            selector,
            integrator_traced.environment(inputs.noise, measure),
            jnp.asarray(integrator.TASKS, jnp.float32),
            gaussian_process.blank(config),
            rounds=config.rounds,
            pretraining=inputs.pretraining,
            history=inputs.pretraining,
            demos_per_round=config.demos_per_round,
            batch=config.batch,
            capacities=loop.doubling(first, config.rounds * per_round),
        )

    return run


def _measure(state):
    return {"entropy": gaussian_process.expert_entropy(state)}


def _inputs(config: ConfigDict) -> Inputs:
    seed, count = config.seed, config.demos_per_round
    places = range(0, config.batch * count, count)
    noise = integrator_traced.draw_noise(
        [
            [base.entropy_by_round(seed, index, before) for before in places]
            for index in range(1, config.rounds + 1)
        ],
        [
            [
                base.entropy_by_task(seed, task, number)
                for number in range(0, config.rounds * len(places) * count, count)
            ]
            for task in range(integrator.NUM_TASKS)
        ],
        count,
    )
    counts = gaussian_process.counts(config)
    shown = base.pretraining(integrator.make(), seed, counts)
    return Inputs(jax.random.key(seed), shown, noise)


PROGRAM = base.Program(_representative, _inputs, _run)
