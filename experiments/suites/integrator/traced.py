"""The integrator as pure functions, for experiments that run as a whole in one program.

The expert's noise is drawn on the host and enters as an input, so that demonstrations
are those of `integrator.demonstrate` up to the precision of the floats.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from amf_jax import demonstrations
from amf_jax.demonstrations import Demonstrations
from amf_jax.learners import LearnerState
from amf_jax.loop import Environment
from experiments.suites import integrator
from experiments.suites.integrator import HORIZON, NUM_TASKS, TASKS


class Noise(NamedTuple):
    """Noise of all demonstrations that may be asked for, n at a time.

    Attributes:
      by_round: of a task that is no evaluation task, by the round, from 1 on, and the
        place in its batch.
      by_task: of an evaluation task, by how many times it was asked for before.
    """

    by_round: Float[np.ndarray, "R b n H 2"]
    by_task: Float[np.ndarray, "C B n H 2"]


def draw_noise(
    by_round: Sequence[Sequence[Sequence[int]]],
    by_task: Sequence[Sequence[Sequence[int]]],
    count: int,
) -> Noise:
    """Draws the noise for seeds as `demonstrate` takes them.

    Args:
      by_round: seeds by round and place in the batch.
      by_task: seeds by evaluation task and number.
      count: demonstrations at a time.
    """

    def draw(table) -> np.ndarray:
        rows = [[integrator.expert_noise(one, count) for one in row] for row in table]
        return np.array(rows, np.float32)

    return Noise(draw(by_round), draw(by_task))


def environment(
    noise: Noise, measure: Callable[[LearnerState], dict[str, Array]] | None
) -> Environment:
    """Expert and evaluation.

    Args:
      noise: of the expert; may be traced.
      measure: `(state) -> dict`, further metrics of an evaluation; None evaluates
        nothing.
    """

    def demonstrate(choice, index, demos: Demonstrations) -> Demonstrations:
        _, batch, count, *_ = noise.by_round.shape
        number = jnp.sum(demos.task_ids == choice.task_id) // count
        own = jnp.asarray(noise.by_task)[choice.task_id, number]
        place = demonstrations.count(demos) // count % batch
        drawn = jnp.asarray(noise.by_round)[index - 1, place]
        steps = jnp.where(choice.task_id >= 0, own, drawn)
        goals = jnp.broadcast_to(choice.task, (count, 2))
        return integrator.demonstrated(goals, choice.task_id, steps, jnp)

    def evaluate(act, state: LearnerState, index) -> dict[str, Array]:
        del index  # start and dynamics are deterministic
        assert measure is not None
        task_ids = jnp.arange(NUM_TASKS)

        def step(positions, call):
            positions = positions + act(call, positions, task_ids)
            distance = jnp.linalg.norm(positions - jnp.asarray(TASKS), axis=-1)
            return positions, -distance

        start = jnp.zeros((NUM_TASKS, 2))
        _, rewards = jax.lax.scan(step, start, jnp.arange(HORIZON))
        return {"return": rewards.sum(axis=0).mean(), **measure(state)}

    return Environment(demonstrate, None if measure is None else evaluate)
