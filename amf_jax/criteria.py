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
    """

    score: Callable[..., Array]
    sign: float


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
    """Expected entropy after each block: `sum_x w_x H(x | block, history)` (eq. 2)."""

    def summarise(prior, reduction):
        floor = _variance_floor(embedding, posterior, occupancy.points)
        remaining = jnp.maximum(prior - reduction, 0.0)
        return occupancy.weights @ entropy_of(remaining, floor)

    return _score_blocks(
        summarise, embedding, posterior, blocks, block_mask, occupancy, blocks_at_a_time
    )


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
    return _score_blocks(
        lambda _, reduction: occupancy.weights @ reduction,
        embedding,
        posterior,
        blocks,
        block_mask,
        occupancy,
        blocks_at_a_time,
    )


def prior_entropy(
    embedding: Embedding,
    posterior: Posterior,
    blocks: Any,
    block_mask: Bool[Array, "B H"],
    occupancy: Occupancy,
    *,
    blocks_at_a_time: int | None = None,
) -> Float[Array, " B"]:
    """Entropy of each block itself before it is demonstrated: no look-ahead."""
    del occupancy

    def one(block):
        points, mask = block
        remaining = gp.variance(embedding.kernel, embedding.diagonal, posterior, points)
        floor = _variance_floor(embedding, posterior, points)
        return jnp.where(mask, entropy_of(remaining, floor), 0.0).sum()

    return _map_blocks(one, (blocks, block_mask), blocks_at_a_time)


CRITERIA = {
    "entropy": Criterion(expected_entropy, -1.0),
    "variance": Criterion(expected_variance_reduction, 1.0),
    "prior_entropy": Criterion(prior_entropy, 1.0),
}


def _score_blocks(
    summarise, embedding, posterior, blocks, block_mask, occupancy, blocks_at_a_time
):
    """`summarise(variance before, reduction)` for every block, given the history."""
    kernel = embedding.kernel
    solved = gp.whiten(kernel, posterior, occupancy.points)
    before = gp.variance_given(
        embedding.diagonal(occupancy.points) / posterior.scale, solved
    )

    def one(block):
        points, mask = block
        own = gp.whiten(kernel, posterior, points)
        within = kernel(points, points) / posterior.scale
        across = kernel(points, occupancy.points) / posterior.scale - own.T @ solved
        factor, _ = gp.factor_noisy(within, own, mask, posterior.noise_variance)
        across = jnp.where(mask[:, None], across, 0.0)
        reduction = jnp.sum(solve_triangular(factor, across, lower=True) ** 2, axis=0)
        return summarise(before, reduction)

    return _map_blocks(one, (blocks, block_mask), blocks_at_a_time)


def _map_blocks(function, blocks, blocks_at_a_time: int | None):
    count, horizon = blocks[1].shape
    if blocks_at_a_time is None:
        blocks_at_a_time = max(1, _ROWS_AT_A_TIME // horizon)
    return jax.lax.map(function, blocks, batch_size=min(blocks_at_a_time, count))


def _variance_floor(embedding, posterior, points):
    """What rounding may leave of a variance: machine epsilon of the prior's largest."""
    prior = embedding.diagonal(points) / posterior.scale
    return jnp.finfo(prior.dtype).eps * jnp.max(prior) + jnp.finfo(prior.dtype).tiny
