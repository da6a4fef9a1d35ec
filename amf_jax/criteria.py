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
from jaxtyping import Array, Bool, Float

from amf_jax import errors
from amf_jax import posterior as gp
from amf_jax.embeddings import Embedding
from amf_jax.posterior import Posterior

_LOG_2_PI_E = math.log(2.0 * math.pi * math.e)
# Rows of candidate blocks scored at a time: enough to keep a matmul busy.
_ROWS_AT_A_TIME = 256


class Occupancy(NamedTuple):
    """Weighted points that stand for `E_{c~mu_C} E_{tau~tau(c)} sum_t`.

    Attributes:
      points: E points; every demonstration relabelled with every evaluation task.
      weights: probability of the task times importance weight; 0 for masked steps.
    """

    points: Any
    weights: Float[Array, " E"]


class Criterion(NamedTuple):
    """A named criterion.

    Attributes:
      score: `(embedding, posterior, blocks, block_mask, occupancy) -> [B]`.
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
    blocks_at_a_time: int | None = None,
) -> Float[Array, " B"]:
    """Expected entropy after each block: `sum_x w_x H(x | block, history)` (eq. 2).

    Raises:
      InvalidArgumentError: if `embedding.diagonal` is None.
    """
    solved = gp.whiten(embedding.kernel, posterior, occupancy.points)
    before = gp.variance_given(
        _prior_variance(embedding, posterior, occupancy.points), solved
    )

    def summarise(reduction):
        floor = _variance_floor(embedding, posterior, occupancy.points)
        remaining = jnp.maximum(before - reduction, 0.0)
        return occupancy.weights @ entropy_of(remaining, floor)

    score = _block_score(summarise, embedding, posterior, occupancy.points, solved)
    return _map_blocks(score, (blocks, block_mask), blocks_at_a_time)


def expected_variance_reduction(
    embedding: Embedding,
    posterior: Posterior,
    blocks: Any,
    block_mask: Bool[Array, "B H"],
    occupancy: Occupancy,
    *,
    blocks_at_a_time: int | None = None,
) -> Float[Array, " B"]:
    """Expected drop of posterior variance that each block brings (eq. 4).

    The paper prints arg min over this quantity; minimising what remains means
    *maximising* the reduction.
    """
    solved = gp.whiten(embedding.kernel, posterior, occupancy.points)

    def summarise(reduction):
        return occupancy.weights @ reduction

    score = _block_score(summarise, embedding, posterior, occupancy.points, solved)
    return _map_blocks(score, (blocks, block_mask), blocks_at_a_time)


def prior_entropy(
    embedding: Embedding,
    posterior: Posterior,
    blocks: Any,
    block_mask: Bool[Array, "B H"],
    occupancy: Occupancy,
    *,
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

    return _map_blocks(one, (blocks, block_mask), blocks_at_a_time)


CRITERIA = {
    "entropy": Criterion(expected_entropy, -1.0, needs_diagonal=True),
    "variance": Criterion(expected_variance_reduction, 1.0, needs_diagonal=False),
    "prior_entropy": Criterion(prior_entropy, 1.0, needs_diagonal=True),
}


def _block_score(summarise, embedding, posterior, targets, solved):
    """`summarise` of a block's reduction at `targets`, whose solved rows are given."""
    kernel = embedding.kernel

    def one(block):
        points, mask = block
        own = gp.whiten(kernel, posterior, points)
        within = kernel(points, points) / posterior.scale
        across = kernel(points, targets) / posterior.scale - own.T @ solved
        factor, _ = gp.factor_noisy(within, own, mask, posterior.noise_variance)
        across = jnp.where(mask[:, None], across, 0.0)
        reduction = jnp.sum(solve_triangular(factor, across, lower=True) ** 2, axis=0)
        return summarise(reduction)

    return one


def _map_blocks(function, blocks, blocks_at_a_time: int | None):
    count, horizon = blocks[1].shape
    if blocks_at_a_time is None:
        blocks_at_a_time = max(1, _ROWS_AT_A_TIME // horizon)
    return jax.lax.map(function, blocks, batch_size=min(blocks_at_a_time, count))


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
