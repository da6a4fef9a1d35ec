"""Pairs of a task and a demonstration: the blocks of a selection, and which count."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int

from amf_jax import devices
from amf_jax.demonstrations import Demonstrations, valid_steps
from amf_jax.embeddings import Embedding, embed_pairs


class Pairs(NamedTuple):
    """P = K N demonstrations, each relabelled with a task.

    Attributes:
      weights: importance weight of each pair; 0 where it is skipped.
      order: where a pair stands among all, task by task.
      num_kept: how many leading pairs are not skipped; None skips none.
      points: `(order [b]) -> (points, steps)` embeds the H steps of some pairs; the
        leaves of `points` are `[b, H, ...]`; `steps [b, H]` says what is recorded.
    """

    weights: Float[Array, " P"]
    order: Int[Array, " P"]
    num_kept: Int[Array, ""] | None
    points: Callable[[Array], tuple[Any, Array]]

    @property
    def horizon(self) -> int:
        """Steps of a demonstration."""
        return self._shapes()[1].shape[1]

    @property
    def width(self) -> int:
        """Numbers that a point holds."""
        leaves = jax.tree.leaves(self._shapes()[0])
        return sum(leaf.size for leaf in leaves) // self.horizon

    def _shapes(self) -> tuple[Any, Any]:
        return jax.eval_shape(self.points, self.order[:1])

    def shard(self, mesh: Mesh | None) -> "Pairs":
        """The pairs of this device, those that are not skipped first.

        Those that count come first in the order, so that they are split evenly as well.
        """
        kept = self.num_kept
        if mesh is None:
            return self
        return self._replace(
            weights=devices.shard(mesh, self.weights),
            order=devices.shard(mesh, self.order),
            num_kept=None if kept is None else devices.shard_size(mesh, kept),
        )


def pair(
    embedding: Embedding,
    params,
    key,
    demos: Demonstrations,
    tasks: Float[Array, "K D"],
    weights: Float[Array, "K N"],
    tolerance: float | None,
) -> Pairs:
    """Pairs in the order of their tasks, or those that are not skipped first.

    Args:
      embedding: of steps.
      params: as in `Embedding.embed`.
      key: the same for all points, which are compared with each other.
      demos: to relabel, with filled padding.
      tasks: to relabel them with.
      weights: importance weights.
      tolerance: as in `is_skipped`; None skips none.
    """
    rows, steps = weights.shape[1], valid_steps(demos)

    def points(order: Int[Array, " b"]) -> tuple[Any, Bool[Array, "b H"]]:
        row, task = order % rows, tasks[order // rows]
        return embed_pairs(embedding, params, key, demos, row, task), steps[row]

    order = jnp.arange(weights.size, dtype=jnp.int32)
    if tolerance is None:
        return Pairs(weights.ravel(), order, None, points)
    skipped = is_skipped(weights, tolerance).ravel()
    order = jnp.argsort(skipped, stable=True).astype(jnp.int32)
    kept = jnp.where(skipped, 0.0, weights.ravel())[order]
    return Pairs(kept, order, (~skipped).sum(), points)


def is_skipped(weights: Float[Array, "K N"], tolerance: float) -> Bool[Array, "K N"]:
    """Pairs of at most this share of their task's largest weight.

    A weight that is NaN is never skipped: it must be noticed.
    """
    return weights <= tolerance * weights.max(axis=-1, keepdims=True)


def per_task(pairs: Pairs, values: Float[Array, " P"], num_tasks: int) -> Array:
    """Sums `values` of pairs over the demonstrations of each task, `[K]`."""
    placed = jnp.zeros_like(values).at[pairs.order].set(values)
    return placed.reshape(num_tasks, -1).sum(axis=-1)


def chunks(
    pairs: Pairs, steps_at_a_time: int, microbatch: int | None = None
) -> tuple[Int[Array, " Q"], int, Array | int]:
    """The pairs in equal chunks, for loops that end with the last that is not skipped.

    Args:
      pairs: to go through.
      steps_at_a_time: of a chunk, about.
      microbatch: pairs of a chunk; None goes by the steps.

    Returns:
      `order`, padded to whole chunks; the size of a chunk; how many hold pairs that are
      not skipped.
    """
    total = pairs.order.shape[0]
    size = min(total, microbatch or max(1, steps_at_a_time // pairs.horizon))
    count = total if pairs.num_kept is None else pairs.num_kept
    return jnp.pad(pairs.order, (0, -total % size)), size, (count + size - 1) // size
