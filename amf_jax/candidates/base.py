"""The optimiser seam: how the arg max over tasks is searched.

An optimiser is a function `(key, objective, tasks) -> (candidates, scores)`, where
`objective(candidates) -> scores` values a batch of candidates at once (higher is
better), each one whatever the others are. The selector picks the best of what is
returned.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key


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


def unlisted(tasks: Float[Array, "K D"]) -> Candidates:
    """Candidates that are none of the evaluation tasks."""
    return Candidates(jnp.full((tasks.shape[0],), -1, jnp.int32), tasks)
