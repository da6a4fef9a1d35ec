"""Pairs of a task and a demonstration: the blocks of a selection, and which count."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


class Pairs(NamedTuple):
    """P = K N demonstrations, each relabelled with a task.

    Attributes:
      points: pytree of the embedded steps, leaves `[P, H, ...]`.
      steps: which steps are recorded.
      weights: importance weight of each pair; 0 where it is skipped.
      order: where a pair stands among all, task by task.
      num_kept: how many leading pairs are not skipped; None skips none.
    """

    points: Any
    steps: Bool[Array, "P H"]
    weights: Float[Array, " P"]
    order: Int[Array, " P"]
    num_kept: Int[Array, ""] | None


def pair(
    points: Any,
    steps: Bool[Array, "N H"],
    weights: Float[Array, "K N"],
    tolerance: float | None,
) -> Pairs:
    """Pairs in the order of their tasks, or those that are not skipped first.

    Args:
      points: of every recorded step under every task, leaves `[K N H, ...]`.
      steps: which steps are recorded.
      weights: importance weights.
      tolerance: pairs of at most this share of their task's largest weight are skipped;
        None skips none. A weight that is NaN is never skipped: it must be noticed.
    """
    num_tasks, (rows, horizon) = weights.shape[0], steps.shape
    points = jax.tree.map(lambda x: x.reshape(-1, horizon, *x.shape[1:]), points)
    steps = jnp.broadcast_to(steps, (num_tasks, rows, horizon)).reshape(-1, horizon)
    order = jnp.arange(num_tasks * rows)
    if tolerance is None:
        return Pairs(points, steps, weights.ravel(), order, None)
    largest = weights.max(axis=-1, keepdims=True)
    skipped = (weights <= tolerance * largest).ravel()
    order = jnp.argsort(skipped, stable=True)
    points, steps = jax.tree.map(lambda x: x[order], (points, steps))
    kept = jnp.where(skipped, 0.0, weights.ravel())[order]
    return Pairs(points, steps, kept, order, (~skipped).sum())


def per_task(pairs: Pairs, values: Float[Array, " P"], num_tasks: int) -> Array:
    """Sums `values` of pairs over the demonstrations of each task, `[K]`."""
    placed = jnp.zeros_like(values).at[pairs.order].set(values)
    return placed.reshape(num_tasks, -1).sum(axis=-1)
