"""Criteria: the uncertainty that a demonstration is expected to leave (eqs. 1, 2, 4).

A *block* is one candidate demonstration: the states of a demonstration at hand,
relabelled with the candidate task. Every criterion returns one number per block; the
selector averages blocks with their importance weights and picks the best task.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Bool, Float, Int

from amf_jax import errors
from amf_jax import posterior as gp
from amf_jax.embeddings import Embedding
from amf_jax.posterior import Posterior

_LOG_2_PI_E = math.log(2.0 * math.pi * math.e)
# Rows of candidate blocks scored at a time: enough to keep a matmul busy.
_ROWS_AT_A_TIME = 256
# Points of an occupancy that counts its own looked at together, for the same reason.
_POINTS_AT_A_TIME = 512


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


class Criterion(NamedTuple):
    """A named criterion.

    Attributes:
      score: `(embedding, posterior, blocks, block_mask, occupancy) -> [B]`. With a
        traced `count`, the score of blocks from that one on is not computed and is 0.
      sign: +1 if the best candidate has the largest value, -1 if the smallest.
      needs_diagonal: whether it looks at the variance of single points.
    """

    score: Callable[..., Array]
    sign: float
    needs_diagonal: bool


def entropy_of(
    variance: Float[Array, "*n"], floor: Float[Array, ""] | float
) -> Float[Array, "*n"]:
    """Differential entropy `1/2 log(2 pi e v)` of a Gaussian, in nats.

    `floor` bounds the variance from below: rounding may leave 0 where it is tiny.

    Example:
      >>> print([f"{h:.3f}" for h in entropy_of(jnp.array([1.0, 0.0]), floor=1e-6)])
      ['1.419', '-5.489']
    """
    return 0.5 * (_LOG_2_PI_E + jnp.log(jnp.maximum(variance, floor)))


def expected_entropy(
    embedding: Embedding,
    posterior: Posterior,
    blocks: Any,
    block_mask: Bool[Array, "B H"],
    occupancy: Occupancy,
    *,
    count: Int[Array, ""] | None = None,
    blocks_at_a_time: int | None = None,
) -> Float[Array, " B"]:
    """Expected entropy after each block: `sum_x w_x H(x | block, history)` (eq. 2).

    Raises:
      InvalidArgumentError: if `embedding.diagonal` is None.
    """
    occupancy = _whole_tiles(occupancy)
    solved = _whiten(embedding.kernel, posterior, occupancy)
    before = gp.variance_given(
        _prior_variance(embedding, posterior, occupancy.points), solved
    )
    floor = _variance_floor(embedding, posterior, occupancy.points)

    def summarise(reduction, start):
        remaining = jnp.maximum(_tile(before, start, reduction) - reduction, 0.0)
        weights = _tile(occupancy.weights, start, reduction)
        return weights @ entropy_of(remaining, floor)

    score = _block_score(summarise, embedding, posterior, occupancy, solved)
    return _map_blocks(score, (blocks, block_mask), count, blocks_at_a_time)


def expected_variance_reduction(
    embedding: Embedding,
    posterior: Posterior,
    blocks: Any,
    block_mask: Bool[Array, "B H"],
    occupancy: Occupancy,
    *,
    count: Int[Array, ""] | None = None,
    blocks_at_a_time: int | None = None,
) -> Float[Array, " B"]:
    """Expected drop of posterior variance that each block brings (eq. 4).

    The paper prints arg min over this quantity; minimising what remains means
    *maximising* the reduction.
    """
    occupancy = _whole_tiles(occupancy)
    solved = _whiten(embedding.kernel, posterior, occupancy)

    def summarise(reduction, start):
        return _tile(occupancy.weights, start, reduction) @ reduction

    score = _block_score(summarise, embedding, posterior, occupancy, solved)
    return _map_blocks(score, (blocks, block_mask), count, blocks_at_a_time)


def prior_entropy(
    embedding: Embedding,
    posterior: Posterior,
    blocks: Any,
    block_mask: Bool[Array, "B H"],
    occupancy: Occupancy,
    *,
    count: Int[Array, ""] | None = None,
    blocks_at_a_time: int | None = None,
) -> Float[Array, " B"]:
    """Entropy of each block itself before it is demonstrated: no look-ahead.

    Raises:
      InvalidArgumentError: if `embedding.diagonal` is None.
    """
    del occupancy

    def one(block):
        points, mask = block
        solved = gp.whiten(embedding.kernel, posterior, points)
        prior = _prior_variance(embedding, posterior, points)
        remaining = gp.variance_given(prior, solved)
        floor = _variance_floor(embedding, posterior, points)
        return jnp.where(mask, entropy_of(remaining, floor), 0.0).sum()

    return _map_blocks(one, (blocks, block_mask), count, blocks_at_a_time)


CRITERIA = {
    "entropy": Criterion(expected_entropy, -1.0, needs_diagonal=True),
    "variance": Criterion(expected_variance_reduction, 1.0, needs_diagonal=False),
    "prior_entropy": Criterion(prior_entropy, 1.0, needs_diagonal=True),
}


def _block_score(summarise, embedding, posterior, occupancy: Occupancy, solved):
    """Sums `summarise(reduction, start)` of a block over tiles of the occupancy.

    Args:
      summarise: of the reduction at the points from `start` on, `[T] -> scalar`.
      embedding: whose kernel it is.
      posterior: what is known so far.
      occupancy: in whole tiles.
      solved: of its points, as `_whiten` gives them.
    """
    kernel = embedding.kernel

    def one(block):
        points, mask = block
        own = gp.whiten(kernel, posterior, points)
        within = kernel(points, points) / posterior.scale
        factor, _ = gp.factor_noisy(within, own, mask, posterior.noise_variance)

        def summary(tile, columns, start):
            across = kernel(points, tile) / posterior.scale - own.T @ columns
            across = jnp.where(mask[:, None], across, 0.0)
            halves = solve_triangular(factor, across, lower=True)
            return summarise(jnp.sum(halves**2, axis=0), start)

        if occupancy.num_weighted is None:
            return summary(occupancy.points, solved, 0)

        def add(i, total):
            start = i * _POINTS_AT_A_TIME
            tile, columns = _points(occupancy, start), _columns(solved, start)
            return total + summary(tile, columns, start)

        zero = jnp.zeros((), solved.dtype)
        return jax.lax.fori_loop(0, _tiles(occupancy), add, zero)

    return one


def _map_blocks(function, blocks, count, blocks_at_a_time: int | None):
    """`function` of every block, or of the first `count` and 0 for the others."""
    total, horizon = blocks[1].shape
    size = blocks_at_a_time or max(1, _ROWS_AT_A_TIME // horizon)
    size = min(size, total)
    if count is None:
        return jax.lax.map(function, blocks, batch_size=size)
    blocks = jax.tree.map(lambda leaf: _pad(leaf, size), blocks)
    one = jax.tree.map(lambda leaf: leaf[0], blocks)
    dtype = jax.eval_shape(function, one).dtype

    def some(i, scores):
        chunk = jax.tree.map(
            lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, i * size, size), blocks
        )
        new = jax.vmap(function)(chunk)
        return jax.lax.dynamic_update_slice_in_dim(scores, new, i * size, 0)

    scores = jnp.zeros((blocks[1].shape[0],), dtype)
    chunks = (count + size - 1) // size
    scores = jax.lax.fori_loop(0, chunks, some, scores)[:total]
    return jnp.where(jnp.arange(total) < count, scores, 0.0)


def _whole_tiles(occupancy: Occupancy) -> Occupancy:
    """Pads an occupancy that counts its points to a multiple of the tile."""
    if occupancy.num_weighted is None:
        return occupancy
    points, weights = jax.tree.map(
        lambda leaf: _pad(leaf, _POINTS_AT_A_TIME),
        (occupancy.points, occupancy.weights),
    )
    return Occupancy(points, weights, occupancy.num_weighted)


def _whiten(kernel, posterior: Posterior, occupancy: Occupancy) -> Float[Array, "M E"]:
    """The solved rows of the points that count; zero for the others."""
    if occupancy.num_weighted is None:
        return gp.whiten(kernel, posterior, occupancy.points)

    def some(i, solved):
        start = i * _POINTS_AT_A_TIME
        columns = gp.whiten(kernel, posterior, _points(occupancy, start))
        return jax.lax.dynamic_update_slice_in_dim(solved, columns, start, 1)

    shape = (posterior.mask.shape[0], occupancy.weights.shape[0])
    blank = jnp.zeros(shape, posterior.cholesky.dtype)
    return jax.lax.fori_loop(0, _tiles(occupancy), some, blank)


def _tiles(occupancy: Occupancy):
    assert occupancy.num_weighted is not None
    return (occupancy.num_weighted + _POINTS_AT_A_TIME - 1) // _POINTS_AT_A_TIME


def _points(occupancy: Occupancy, start):
    return jax.tree.map(
        lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, start, _POINTS_AT_A_TIME),
        occupancy.points,
    )


def _columns(solved, start):
    return jax.lax.dynamic_slice_in_dim(solved, start, _POINTS_AT_A_TIME, axis=1)


def _tile(values: Float[Array, " E"], start, like: Float[Array, " T"]):
    """The part of `values` that starts there and is as long as `like`."""
    return jax.lax.dynamic_slice_in_dim(values, start, like.shape[0])


def _pad(leaf: Array, multiple: int) -> Array:
    """Zeros appended until the leading axis is a multiple."""
    missing = -leaf.shape[0] % multiple
    return jnp.pad(leaf, [(0, missing)] + [(0, 0)] * (leaf.ndim - 1))


def _prior_variance(embedding, posterior, points):
    """`k(x, x)` in units of the scaled kernel."""
    if embedding.diagonal is None:
        raise errors.InvalidArgumentError(
            "entropies take the logarithm of each point's variance and need"
            " embedding.diagonal, which is None; use an embedding with a diagonal or"
            " the variance criterion"
        )
    return embedding.diagonal(points) / posterior.scale


def _variance_floor(embedding, posterior, points):
    """What rounding may leave of a variance: machine epsilon of the prior's largest."""
    prior = _prior_variance(embedding, posterior, points)
    return jnp.finfo(prior.dtype).eps * jnp.max(prior) + jnp.finfo(prior.dtype).tiny
