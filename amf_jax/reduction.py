"""Expected reduction of the posterior variance, by kernels (eq. 4).

With `k` the covariance given the history, a block B of H points that is observed with
noise takes from the variances of weighted points x

    sum_x w_x |L_B^-1 k(B, x)|^2,    L_B L_B^T = k(B, B) + noise I.

The sum is over tiles of points that fit the cache, so that no more than a tile of
covariances is ever held. Where the points are those of the blocks, a tile counts
twice: `k(B, x)` for B, and its transpose for the block that x belongs to. A block is
compared with many more points than it has: `L_B^-1` is solved for once, and all else is
products.

In the precision eps of the floats, a reduction is off by about `eps H v / noise` of the
weighted sum of variances, for variances of at most v.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Bool, Float, Int

from amf_jax import posterior as gp
from amf_jax import tiles
from amf_jax.embeddings import Embedding
from amf_jax.posterior import Kernel, Posterior
from amf_jax.tiles import Rows


class Occupancy(NamedTuple):
    """Weighted points that stand for `E_{c~mu_C} E_{tau~tau(c)} sum_t`.

    Attributes:
      points: E points; every demonstration relabelled with every evaluation task.
      weights: probability of the task times importance weight; 0 for masked steps.
      num_weighted: how many leading points have weight; the others are not looked at,
        and cost nothing. A traced number. None looks at all of them.
    """

    points: Any
    weights: Float[Array, " E"]
    num_weighted: Int[Array, ""] | None = None


def expected_variance_reduction(
    embedding: Embedding,
    posterior: Posterior,
    blocks: Any,
    block_mask: Bool[Array, "B H"],
    occupancy: Occupancy,
    *,
    count: Int[Array, ""] | None = None,
    microbatch: int | None = None,
) -> Float[Array, " B"]:
    """Expected drop of posterior variance that each block brings (eq. 4).

    The paper prints arg min over this quantity; minimising what remains means
    *maximising* the reduction.

    Args:
      embedding: whose kernel it is.
      posterior: what is known so far.
      blocks: leaves `[B, H, ...]`.
      block_mask: which of their steps are recorded.
      occupancy: points whose variance counts.
      count: how many leading blocks to look at, the others get 0; None is all.
      microbatch: blocks that share a tile; None fits the cache.
    """
    kernel, (points, weights, num_points) = embedding.kernel, occupancy
    total, horizon = block_mask.shape
    size = tiles.length(total, horizon, microbatch)
    cut, masks = tiles.cut((blocks, block_mask), size)
    width = tiles.length(weights.size)
    cut_points, cut_weights = tiles.cut((points, weights), width)
    number = tiles.number(num_points, weights.size, width)
    rows = tiles.solve(kernel, posterior, cut_points, number)

    def score(i, values):
        own = _rows(kernel, posterior, tiles.at(cut, i), masks[i])
        inverse = _inverse_factors(kernel, posterior, own, masks[i])

        def add(j, value):
            across = tiles.covariance(kernel, posterior, own, tiles.at(rows, j))
            return value + _explained(inverse, across) @ cut_weights[j]

        value = jax.lax.fori_loop(0, number, add, jnp.zeros(size, weights.dtype))
        return values.at[i].set(value)

    values = jnp.zeros(masks.shape[:2], weights.dtype)
    chunks = tiles.number(count, total, size)
    values = jax.lax.fori_loop(0, chunks, score, values)
    return tiles.joined(values, count, total)


def own_variance_reduction(
    embedding: Embedding,
    posterior: Posterior,
    blocks: Any,
    block_mask: Bool[Array, "B H"],
    occupancy: Occupancy,
    *,
    count: Int[Array, ""] | None = None,
    microbatch: int | None = None,
) -> Float[Array, " B"]:
    """The same where the occupancy's points are those of the blocks, in their order.

    Half the covariances: blocks beyond `count` have no weight either.
    """
    kernel, weights = embedding.kernel, occupancy.weights.reshape(block_mask.shape)
    total, horizon = block_mask.shape
    size = tiles.length(total, horizon, microbatch)
    cut, masks, weights = tiles.cut((blocks, block_mask, weights), size)
    number = tiles.number(count, total, size)
    weights = weights.reshape(weights.shape[0], -1)
    points = jax.tree.map(lambda x: x.reshape(*weights.shape, *x.shape[3:]), cut)
    rows = tiles.solve(kernel, posterior, points, number)

    def invert(i, inverse):
        own = tiles.at(rows, i)
        return inverse.at[i].set(_inverse_factors(kernel, posterior, own, masks[i]))

    blank = jnp.zeros((*masks.shape, horizon), weights.dtype)
    inverse = jax.lax.fori_loop(0, number, invert, blank)

    def score(i, values):
        own = tiles.at(rows, i)

        def add(j, values):
            across = tiles.covariance(kernel, posterior, own, tiles.at(rows, j))
            values = values.at[i].add(_explained(inverse[i], across) @ weights[j])
            return values.at[j].add(_explained(inverse[j], across.T) @ weights[i])

        across = tiles.covariance(kernel, posterior, own, own)
        values = values.at[i].add(_explained(inverse[i], across) @ weights[i])
        return jax.lax.fori_loop(i + 1, number, add, values)

    values = jnp.zeros(masks.shape[:2], weights.dtype)
    values = jax.lax.fori_loop(0, number, score, values)
    return tiles.joined(values, count, total)


def _explained(
    inverse: Float[Array, "s H H"], across: Float[Array, "n m"]
) -> Float[Array, "s m"]:
    """`|L_B^-1 k(B, x)|^2` of s blocks whose rows stand below each other."""
    blocks = across.reshape(*inverse.shape[:2], -1)
    return jnp.sum(jnp.einsum("bij,bjm->bim", inverse, blocks) ** 2, axis=1)


def _inverse_factors(
    kernel: Kernel, posterior: Posterior, own: Rows, masks: Bool[Array, "s H"]
) -> Float[Array, "s H H"]:
    """`L_B^-1` of blocks whose rows stand below each other; 0 for masked steps."""

    def one(rows: Rows, mask):
        prior = kernel(rows.points, rows.points) / posterior.scale
        noise = posterior.noise_variance
        factor, _ = gp.factor_noisy(prior, rows.solved.T, mask, noise)
        recorded = jnp.diag(mask.astype(factor.dtype))
        return solve_triangular(factor, recorded, lower=True)

    blocks = jax.tree.map(lambda x: x.reshape(*masks.shape, *x.shape[1:]), own)
    return jax.vmap(one)(blocks, masks)


def _rows(
    kernel: Kernel, posterior: Posterior, blocks: Any, masks: Bool[Array, "s H"]
) -> Rows:
    """The points of blocks below each other, with their solved rows.

    Masked steps are zeroed: they may hold NaN, which a product would let through.
    """

    def below(leaf):
        recorded = jnp.expand_dims(masks, range(2, leaf.ndim))
        return jnp.where(recorded, leaf, 0).reshape(-1, *leaf.shape[2:])

    points = jax.tree.map(below, blocks)
    return Rows(points, gp.whiten(kernel, posterior, points).T)
