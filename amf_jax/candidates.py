"""Candidate optimisers: how the arg max over tasks is searched.

An optimiser is a function `(key, objective, tasks) -> (candidates, scores)`, where
`objective(candidates) -> scores` values a batch of candidates at once (higher is
better). The selector picks the best of what is returned.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from amf_jax import errors


class Candidates(NamedTuple):
    """Tasks under consideration.

    Attributes:
      task_ids: index among the evaluation tasks; -1 for a task that is none of them.
      tasks: task vectors.
    """

    task_ids: Int[Array, " K"]
    tasks: Float[Array, "K D"]


Objective = Callable[[Candidates], Array]
Optimiser = Callable[[Key[Array, ""], Objective, Array], tuple[Candidates, Array]]


def enumerate_tasks() -> Optimiser:
    """Values every evaluation task: exact, for finite task sets."""

    def optimise(key, objective, tasks):
        del key
        ids = jnp.arange(tasks.shape[0], dtype=jnp.int32)
        candidates = Candidates(ids, tasks)
        return candidates, objective(candidates)

    return optimise


def random_shooting(sample_tasks: Callable, budget: int = 100) -> Optimiser:
    """Values `budget` tasks drawn at random (appendix M.2), for continuous task spaces.

    Args:
      sample_tasks: `(key, count) -> [count, D]`, draws from the task space.
      budget: number of candidates per selection.
    """
    if budget < 1:
        raise errors.InvalidArgumentError(f"budget must be at least 1, got {budget}")

    def optimise(key, objective, tasks):
        drawn = sample_tasks(key, budget).astype(tasks.dtype)
        candidates = Candidates(jnp.full((budget,), -1, jnp.int32), drawn)
        return candidates, objective(candidates)

    return optimise
