"""Points in tiles that fit the cache, for loops that end with the last that counts."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from amf_jax import posterior as gp
from amf_jax.posterior import Kernel, Posterior

# Points of a tile, about. Larger ones leave the cache, smaller ones starve a matmul.
_POINTS_AT_A_TIME = 512


class Rows(NamedTuple):
    """Points with what the history says of them.

    Attributes:
      points: n of them.
      solved: `L^-1 k(X, x)` of each, see `posterior.whiten`.
    """

    points: Any
    solved: Float[Array, "n M"]


def length(total: int, horizon: int = 1, microbatch: int | None = None) -> int:
    """How many entries of `horizon` points make a tile; at most all."""
    return min(total, microbatch or max(1, _POINTS_AT_A_TIME // horizon))


def cut(tree: Any, size: int) -> Any:
    """Leading axes in tiles: `[n, ...]` as `[n / size, size, ...]`, zeros behind."""

    def one(leaf):
        missing = -leaf.shape[0] % size
        padded = jnp.pad(leaf, [(0, missing)] + [(0, 0)] * (leaf.ndim - 1))
        return padded.reshape(-1, size, *leaf.shape[1:])

    return jax.tree.map(one, tree)


def filled_up(tree: Any, size: int) -> Any:
    """Leading axes of a multiple of `size` entries, the last of which is repeated.

    For what is given to a policy: what is no state, such as zeros, may have no action.
    """

    def one(leaf):
        missing = -leaf.shape[0] % size
        return jnp.pad(leaf, [(0, missing)] + [(0, 0)] * (leaf.ndim - 1), mode="edge")

    return jax.tree.map(one, tree)


def number(count: Int[Array, ""] | None, total: int, size: int):
    """How many tiles hold the first `count` of `total` entries; None is all."""
    last = total if count is None else count
    return (last + size - 1) // size


def at(tree: Any, i) -> Any:
    """Tile `i`."""
    return jax.tree.map(lambda leaf: leaf[i], tree)


def joined(
    values: Float[Array, "t s"], count: Int[Array, ""] | None, total: int
) -> Float[Array, " total"]:
    """Values of tiles in one row: those of the first `count`, and 0 for the others."""
    last = total if count is None else count
    return jnp.where(jnp.arange(total) < last, values.ravel()[:total], 0.0)


def solve(kernel: Kernel, posterior: Posterior, points: Any, tiles) -> Rows:
    """The solved rows of the first tiles; zero for the others.

    Where a tile has more points than the posterior has rows, its factor is inverted.
    """
    shape, held = jax.tree.leaves(points)[0].shape[:2], posterior.mask.shape[0]
    blank = jnp.zeros((*shape, held), posterior.cholesky.dtype)
    inverse = gp.inverse_factor(posterior) if shape[1] > held else None

    def one(i, solved):
        return solved.at[i].set(gp.whiten(kernel, posterior, at(points, i), inverse).T)

    return Rows(points, jax.lax.fori_loop(0, tiles, one, blank))


def covariance(kernel: Kernel, posterior: Posterior, x: Rows, y: Rows) -> Array:
    """Posterior covariance of points, `[n, m]`."""
    prior = kernel(x.points, y.points) / posterior.scale
    return prior - x.solved @ y.solved.T
