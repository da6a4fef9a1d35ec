"""The embedding seam: policy inputs become points, and points covariances."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from amf_jax import ranges, windows
from amf_jax.demonstrations import Demonstrations
from amf_jax.windows import STEP, Window

Points = Any  # a pytree whose leaves lead with the axis of points


class Embedding(NamedTuple):
    """Maps policy inputs to points, and points to covariances.

    Hyperparameters of a kernel travel inside the points, so that `kernel` is a function
    of two sets of points alone and a changed hyperparameter never recompiles.

    Attributes:
      embed: `(params, key, observations [n, ...], actions [n, ...], tasks [n, D])
        -> points`, a pytree whose leaves lead with n, as those of its arguments do.
      kernel: `(points [n], points [m]) -> [n, m]`.
      diagonal: `(points [n]) -> [n]`, the kernel of each point with itself. None for a
        kernel that gives no variance of a single point: what needs one refuses it.
      features: `(points [n]) -> [n, P]`, vectors whose inner products are the kernel.
        None where there are none, or none short enough to be written out.
      window: of the policy: what it sees and does in an example.
    """

    embed: Callable[..., Points]
    kernel: Callable[[Points, Points], Array]
    diagonal: Callable[[Points], Array] | None
    features: Callable[[Points], Array] | None = None
    window: Window = STEP


def linear_features(x: Float[Array, "n P"]) -> Float[Array, "n P"]:
    """Explicit embeddings are their own features."""
    return x


def linear_kernel(x: Float[Array, "n P"], y: Float[Array, "m P"]) -> Array:
    """`k(x, x') = <phi(x), phi(x')>` of explicit embeddings."""
    return x @ y.T


def linear_diagonal(x: Float[Array, "n P"]) -> Float[Array, " n"]:
    """`|phi(x)|^2` of explicit embeddings."""
    return jnp.sum(x**2, axis=-1)


def linear(embed: Callable[..., Points]) -> Embedding:
    """An embedding whose points are vectors `[n, P]`, which are their own features."""
    return Embedding(embed, linear_kernel, linear_diagonal, linear_features)


def embed_relabelled(
    embedding: Embedding, params, key, demos: Demonstrations, tasks: Float[Array, "K D"]
) -> Points:
    """Points of every recorded state under every task: K * N * H, tasks leading."""
    rows = jnp.tile(jnp.arange(demos.demo_mask.shape[0]), tasks.shape[0])
    repeated = jnp.repeat(tasks, demos.demo_mask.shape[0], axis=0)
    points = embed_pairs(embedding, params, key, demos, rows, repeated)
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), points)


def embed_pairs(
    embedding: Embedding,
    params,
    key,
    demos: Demonstrations,
    rows: Int[Array, " b"],
    tasks: Float[Array, "b D"],
) -> Points:
    """Points of some demonstrations, each under a task of its own.

    Returns:
      Leaves `[b, H, ...]`.
    """
    shape = (rows.shape[0], demos.step_mask.shape[1])
    repeated = jnp.broadcast_to(tasks[:, None], (*shape, tasks.shape[-1]))
    examples = windows.of_rows(demos, embedding.window, rows)
    flat = jax.tree.map(
        lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), (*examples, repeated)
    )
    points = _embed(embedding, params, key, *flat)
    return jax.tree.map(lambda leaf: leaf.reshape(*shape, *leaf.shape[1:]), points)


def embed_demonstration(
    embedding: Embedding, params, key, demos: Demonstrations, row
) -> Points:
    """The H points of one demonstration under the task it was given for."""
    observations, actions = windows.of_rows(demos, embedding.window, jnp.asarray(row))
    task = demos.tasks[row]
    tasks = jnp.broadcast_to(task, (demos.step_mask.shape[1], task.shape[0]))
    return _embed(embedding, params, key, observations, actions, tasks)


def _embed(embedding: Embedding, params, key, observations, actions, tasks) -> Points:
    """Points in the floating type of the tasks, whatever the policy computes in."""

    def one(leaf):
        floating = jnp.issubdtype(leaf.dtype, jnp.floating)
        return leaf.astype(tasks.dtype) if floating else leaf

    points = embedding.embed(params, key, observations, actions, tasks)
    return jax.tree.map(one, points)


def batched(function: Callable, examples: tuple, microbatch_size: int | None):
    """`function` of each example, `microbatch_size` at a time; None is all at once.

    Raises:
      InvalidArgumentError: for a size that is no whole number of at least 1.
    """
    ranges.check("microbatch_size", microbatch_size, ranges.COUNT, optional=True)
    if microbatch_size is None:
        return jax.vmap(function)(examples)
    return jax.lax.map(function, examples, batch_size=microbatch_size)
