"""Expected reduction of the posterior variance, by kernels (eq. 4).

With `k` the covariance given the history, a block B of H points that is observed with
noise takes from the variances of weighted points x

    sum_x w_x k(x, B) [k(B, B) + noise I]^-1 k(B, x) = tr([k(B, B) + noise I]^-1 G_B)

    G_B = sum_x w_x k(B, x) k(x, B).

`G_B` is summed over tiles of points that fit the cache, so that no more than a tile of
covariances is ever held. Where the points are those of the blocks, a tile counts twice:
`k(B, x)` for B, and its transpose for the block that x belongs to.

In the precision eps of the floats, a reduction is off by about `eps H v / noise` of the
weighted sum of variances, for variances of at most v.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_solve
from jaxtyping import Array, Bool, Float, Int

from amf_jax import posterior as gp
from amf_jax import tiles
from amf_jax.posterior import Kernel, Posterior
from amf_jax.tiles import Rows


def between(
    kernel: Kernel,
    posterior: Posterior,
    blocks: Any,
    block_mask: Bool[Array, "B H"],
    points: Any,
    weights: Float[Array, " E"],
    *,
    num_blocks: Int[Array, ""] | None = None,
    num_points: Int[Array, ""] | None = None,
    blocks_at_a_time: int | None = None,
) -> Float[Array, " B"]:
    """The reduction that each block brings to weighted points.

    Args:
      kernel: covariance function.
      posterior: what is known so far.
      blocks: leaves `[B, H, ...]`.
      block_mask: which of their steps are recorded.
      points: leaves `[E, ...]`.
      weights: of the points; at least 0.
      num_blocks: how many leading blocks to look at, the others get 0; None is all.
      num_points: how many leading points have any weight; None looks at all.
      blocks_at_a_time: that share a tile; None fits the cache.
    """
    total, horizon = block_mask.shape
    size = tiles.length(total, horizon, blocks_at_a_time)
    cut, masks = tiles.cut((blocks, block_mask), size)
    width = tiles.length(weights.size)
    cut_points, roots = tiles.cut((points, jnp.sqrt(weights)), width)
    number = tiles.number(num_points, weights.size, width)
    rows = tiles.solve(kernel, posterior, cut_points, number)

    def score(i, values):
        own = _rows(kernel, posterior, tiles.at(cut, i))

        def add(j, moment):
            across = tiles.covariance(kernel, posterior, own, tiles.at(rows, j))
            return moment + _second_moment(across * roots[j][None], size)

        blank = jnp.zeros((size, horizon, horizon), roots.dtype)
        moment = jax.lax.fori_loop(0, number, add, blank)
        new = _reduction(kernel, posterior, own, masks[i], moment)
        return values.at[i].set(new)

    values = jnp.zeros(masks.shape[:2], roots.dtype)
    chunks = tiles.number(num_blocks, total, size)
    values = jax.lax.fori_loop(0, chunks, score, values)
    return tiles.joined(values, num_blocks, total)


def within(
    kernel: Kernel,
    posterior: Posterior,
    blocks: Any,
    block_mask: Bool[Array, "B H"],
    weights: Float[Array, "B H"],
    *,
    num_blocks: Int[Array, ""] | None = None,
    blocks_at_a_time: int | None = None,
) -> Float[Array, " B"]:
    """The reduction that each block brings to the points of all: half the covariances.

    Args:
      kernel: covariance function.
      posterior: what is known so far.
      blocks: leaves `[B, H, ...]`.
      block_mask: which of their steps are recorded.
      weights: of their points; at least 0, and 0 for steps that are not recorded.
      num_blocks: how many leading blocks have any weight, the others get 0; None is
        all.
      blocks_at_a_time: that share a tile; None fits the cache.
    """
    total, horizon = block_mask.shape
    size = tiles.length(total, horizon, blocks_at_a_time)
    cut, masks, roots = tiles.cut((blocks, block_mask, jnp.sqrt(weights)), size)
    number = tiles.number(num_blocks, total, size)
    roots = roots.reshape(roots.shape[0], -1)
    points = jax.tree.map(lambda x: x.reshape(*roots.shape, *x.shape[3:]), cut)
    rows = tiles.solve(kernel, posterior, points, number)

    def score(i, carry):
        moments, values = carry
        own = tiles.at(rows, i)

        def add(j, held):
            moment, moments = held
            across = tiles.covariance(kernel, posterior, own, tiles.at(rows, j))
            moment += _second_moment(across * roots[j][None], size)
            transposed = (across * roots[i][:, None]).T
            return moment, moments.at[j].add(_second_moment(transposed, size))

        across = tiles.covariance(kernel, posterior, own, own)
        moment = moments[i] + _second_moment(across * roots[i][None], size)
        held = jax.lax.fori_loop(i + 1, number, add, (moment, moments))
        moment, moments = held
        new = _reduction(kernel, posterior, own, masks[i], moment)
        return moments, values.at[i].set(new)

    values = jnp.zeros(masks.shape[:2], roots.dtype)
    moments = jnp.zeros((*masks.shape, horizon), roots.dtype)
    _, values = jax.lax.fori_loop(0, number, score, (moments, values))
    return tiles.joined(values, num_blocks, total)


def _second_moment(across: Float[Array, "n m"], size: int) -> Float[Array, "s H H"]:
    """`k(B, x) k(x, B)` of `size` blocks whose rows stand below each other."""
    blocks = across.reshape(size, -1, across.shape[1])
    return jnp.einsum("bim,bjm->bij", blocks, blocks)


def _reduction(
    kernel: Kernel,
    posterior: Posterior,
    own: Rows,
    masks: Bool[Array, "s H"],
    moments: Float[Array, "s H H"],
) -> Float[Array, " s"]:
    """`tr([k(B, B) + noise I]^-1 G_B)` of blocks whose rows stand below each other."""

    def one(rows: Rows, mask, moment):
        prior = kernel(rows.points, rows.points) / posterior.scale
        noise = posterior.noise_variance
        factor, _ = gp.factor_noisy(prior, rows.solved.T, mask, noise)
        moment = jnp.where(mask[:, None] & mask[None, :], moment, 0.0)
        return jnp.trace(cho_solve((factor, True), moment))

    blocks = jax.tree.map(lambda x: x.reshape(*masks.shape, *x.shape[1:]), own)
    return jax.vmap(one)(blocks, masks, moments)


def _rows(kernel: Kernel, posterior: Posterior, blocks: Any) -> Rows:
    """The points of blocks below each other, with their solved rows."""
    points = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), blocks)
    return Rows(points, gp.whiten(kernel, posterior, points).T)
