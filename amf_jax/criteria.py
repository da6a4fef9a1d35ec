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
from jaxtyping import Array, Bool, Float, Int

from amf_jax import errors, tiles
from amf_jax import posterior as gp
from amf_jax.embeddings import Embedding
from amf_jax.posterior import Posterior
from amf_jax.reduction import (
    Occupancy,
    expected_variance_reduction,
    own_variance_reduction,
)
from amf_jax.tiles import Rows

__all__ = [
    "CRITERIA",
    "Criterion",
    "Occupancy",
    "entropy_of",
    "expected_entropy",
    "expected_variance_reduction",
    "own_variance_reduction",
    "prior_entropy",
]

_LOG_2_PI_E = math.log(2.0 * math.pi * math.e)


class Criterion(NamedTuple):
    """A named criterion.

    Attributes:
      score: `(embedding, posterior, blocks, block_mask, occupancy) -> [B]`. With a
        traced `count`, the score of blocks from that one on is not computed and is 0.
      sign: +1 if the best candidate has the largest value, -1 if the smallest.
      needs_diagonal: whether it looks at the variance of single points.
      score_own: the same as `score` for blocks that hold the occupancy's points, in
        their order, with less work. None where there is nothing to save.
      by_moments: whether second moments of explicit embeddings are enough to know it.
    """

    score: Callable[..., Array]
    sign: float
    needs_diagonal: bool
    score_own: Callable[..., Array] | None = None
    by_moments: bool = False

    def check(self, name: str, embedding: Embedding) -> None:
        """Raises if variances of single points are needed and the kernel gives none.

        Raises:
          InvalidArgumentError: naming the criterion.
        """
        if self.needs_diagonal and embedding.diagonal is None:
            raise errors.InvalidArgumentError(
                f"criterion={name!r} takes the logarithm of each point's variance and"
                " needs embedding.diagonal, which is None; use an embedding with a"
                " diagonal or amf with criterion='variance'"
            )


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
    microbatch: int | None = None,
) -> Float[Array, " B"]:
    """Expected entropy after each block: `sum_x w_x H(x | block, history)` (eq. 2).

    Raises:
      InvalidArgumentError: if `embedding.diagonal` is None.
    """
    kernel, total = embedding.kernel, occupancy.weights.size
    size = tiles.length(total)
    points, weights = tiles.cut((occupancy.points, occupancy.weights), size)
    number = tiles.number(occupancy.num_weighted, total, size)
    rows = tiles.solve(kernel, posterior, points, number)
    looked_at = occupancy.weights != 0
    floor = _variance_floor(embedding, posterior, occupancy.points, looked_at)

    def one(block):
        points, mask = block
        own = gp.whiten(kernel, posterior, points)
        prior = kernel(points, points) / posterior.scale
        factor, _ = gp.factor_noisy(prior, own, mask, posterior.noise_variance)
        block_rows = Rows(points, own.T)

        def add(j, total):
            tile = tiles.at(rows, j)
            across = tiles.covariance(kernel, posterior, block_rows, tile)
            across = jnp.where(mask[:, None], across, 0.0)
            explained = gp.explained(factor, across)
            before = gp.variance_given(
                _prior_variance(embedding, posterior, tile.points), tile.solved.T
            )
            remaining = jnp.maximum(before - explained, 0.0)
            entropy = jnp.where(weights[j] != 0, entropy_of(remaining, floor), 0.0)
            return total + weights[j] @ entropy

        return jax.lax.fori_loop(0, number, add, jnp.zeros((), weights.dtype))

    return _map_blocks(one, (blocks, block_mask), count, microbatch)


def prior_entropy(
    embedding: Embedding,
    posterior: Posterior,
    blocks: Any,
    block_mask: Bool[Array, "B H"],
    occupancy: Occupancy,
    *,
    count: Int[Array, ""] | None = None,
    microbatch: int | None = None,
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
        floor = _variance_floor(embedding, posterior, points, mask)
        return jnp.where(mask, entropy_of(remaining, floor), 0.0).sum()

    return _map_blocks(one, (blocks, block_mask), count, microbatch)


CRITERIA = {
    "entropy": Criterion(expected_entropy, -1.0, needs_diagonal=True),
    "variance": Criterion(
        expected_variance_reduction,
        1.0,
        needs_diagonal=False,
        score_own=own_variance_reduction,
        by_moments=True,
    ),
    "prior_entropy": Criterion(prior_entropy, 1.0, needs_diagonal=True),
}


def _map_blocks(function, blocks, count, microbatch: int | None):
    """`function` of every block, or of the first `count` and 0 for the others."""
    total, horizon = blocks[1].shape
    size = tiles.length(total, horizon, microbatch)
    cut = tiles.cut(blocks, size)
    one = jax.tree.map(lambda leaf: leaf[0], blocks)
    dtype = jax.eval_shape(function, one).dtype

    def some(i, values):
        return values.at[i].set(jax.vmap(function)(tiles.at(cut, i)))

    values = jnp.zeros(cut[1].shape[:2], dtype)
    number = tiles.number(count, total, size)
    values = jax.lax.fori_loop(0, number, some, values)
    return tiles.joined(values, count, total)


def _prior_variance(embedding, posterior, points):
    """`k(x, x)` in units of the scaled kernel."""
    if embedding.diagonal is None:
        raise errors.InvalidArgumentError(
            "entropies take the logarithm of each point's variance and need"
            " embedding.diagonal, which is None; use an embedding with a diagonal or"
            " the variance criterion"
        )
    return embedding.diagonal(points) / posterior.scale


def _variance_floor(embedding, posterior, points, mask):
    """What rounding may leave of a variance: machine epsilon of the prior's largest.

    Points that are not of the mask stand for nothing, however far away they are.
    """
    prior = jnp.where(mask, _prior_variance(embedding, posterior, points), 0.0)
    return jnp.finfo(prior.dtype).eps * jnp.max(prior) + jnp.finfo(prior.dtype).tiny
