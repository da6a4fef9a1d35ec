"""A batch of points chosen greedily: what leaves the targets the least variance.

`amf_jax.selectors.select_batch` chooses demonstrations in the same manner, whole blocks
of points at a time; this is the rule for single points, each of which can be observed
by itself.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from amf_jax import errors, ranges
from amf_jax import posterior as gp
from amf_jax.posterior import Kernel, Points, Posterior


class GreedyBatch(NamedTuple):
    """Points in the order in which they were chosen.

    Attributes:
      indices: of the points; -1 where none was left, or where a variance that is not
        finite kept them from being ranked.
      reductions: what each took off the targets' summed variance, given those before
        it, in units of the scaled kernel; 0 where none was left, NaN where they could
        not be ranked.
      remaining: the targets' summed variance after each.
    """

    indices: Int[Array, " k"]
    reductions: Float[Array, " k"]
    remaining: Float[Array, " k"]


def reduce_variance(
    kernel: Kernel,
    diagonal: Callable[[Points], Array],
    posterior: Posterior,
    points: Points,
    targets: Points,
    count: int,
    *,
    weights: Float[Array, " m"] | None = None,
    mask: Bool[Array, " n"] | None = None,
    key: Key[Array, ""] | None = None,
) -> GreedyBatch:
    """Chooses points one by one, each for the targets' variance given those before it.

    With R the covariance of points x and targets t given the history and the points
    chosen so far, and r that of the points themselves, a point lowers the weighted sum
    of the targets' variances by

        sum_t w_t R[x, t]^2 / (r[x, x] + noise_variance).

    The largest is chosen, of equals the first or one that `key` draws, and changes R
    and r by an exact rank-one update: `n m + n P` multiply-adds and reads a choice,
    after `n m P` for the start. Every choice is the best one given the former. The
    batch need not be: unlike information gain (`theory.GREEDY_SHARE`), the reduction of
    variance is not submodular, and no share of the best batch is guaranteed.

    Args:
      kernel: covariance function.
      diagonal: `(points) -> k(x, x)` of each.
      posterior: what is known so far; it holds the noise variance and the scale.
      points: n points that can be observed, each at most once; a second look takes a
        second row.
      targets: m points whose variance counts.
      count: how many to choose; static under `jax.jit`.
      weights: of the targets, not negative; None is one each. A target without weight
        may hold anything.
      mask: which points may be chosen; None is all. The others may hold anything.
      key: draws among points that are exactly equal; None takes the first.

    Raises:
      InvalidArgumentError: a count below 1 or above n, or weights that are negative or
        not one per target.

    Example:
      Two points that see a target, and one that does not, with noise variance 1:

      >>> kernel, diagonal = lambda x, y: x @ y.T, lambda x: (x**2).sum(-1)
      >>> target = jnp.array([[1.0, 0.0]])
      >>> points = jnp.array([[0.0, 2.0], [1.0, 0.0], [1.0, 0.0]])
      >>> prior = gp.empty(points, capacity=1, noise_variance=1.0)
      >>> batch = reduce_variance(kernel, diagonal, prior, points, target, count=3)
      >>> print(batch.indices, batch.remaining.round(3))
      [1 2 0] [0.5   0.333 0.333]
    """
    number = _length(points)
    _check(count, number, _length(targets), weights)
    free = jnp.ones(number, bool) if mask is None else mask
    points = points if mask is None else _blank(points, mask)
    if weights is not None:
        targets = _blank(targets, weights > 0)
    noise, known = posterior.noise_variance, posterior.mask.shape[0]
    turns = jnp.zeros(number)
    if key is not None:
        turns = jax.random.uniform(key, (number,))

    solved, towards = (gp.whiten(kernel, posterior, x) for x in (points, targets))
    across = kernel(points, targets) / posterior.scale - solved.T @ towards
    before = gp.variance_given(diagonal(targets) / posterior.scale, towards)
    if weights is not None:
        across, before = across * jnp.sqrt(weights)[None, :], before * weights
    variance = gp.variance_given(diagonal(points) / posterior.scale, solved)

    def choose(carry, step):
        across, variance, rows, free = carry
        gains = jnp.sum(across**2, axis=1) / (variance + noise)
        ranked, left = jnp.where(free, gains, 0.0), free.any()
        open_gains = jnp.where(free, gains, -jnp.inf)
        equal = open_gains == open_gains.max()
        best = jnp.argmax(jnp.where(equal, turns, -1.0))
        finite = jnp.isfinite(ranked).all()
        one = jax.tree.map(lambda leaf: leaf[best][None], points)
        column = kernel(points, one)[:, 0] / posterior.scale - rows.T @ rows[:, best]
        spread = jnp.where(left, jnp.sqrt(variance[best] + noise), jnp.inf)
        column, row = column / spread, across[best] / spread
        index = jnp.where(left & finite, best, -1).astype(jnp.int32)
        carry = (
            across - column[:, None] * row[None, :],
            jnp.maximum(variance - column**2, 0.0),
            rows.at[known + step].set(column),
            free.at[best].set(False),
        )
        return carry, (index, jnp.where(finite, ranked[best], jnp.nan))

    rows = jnp.concatenate([solved, jnp.zeros((count, number), solved.dtype)])
    start = across, variance, rows, free
    _, (indices, reductions) = jax.lax.scan(choose, start, jnp.arange(count))
    remaining = jnp.maximum(before.sum() - jnp.cumsum(reductions), 0.0)
    return GreedyBatch(indices, reductions, remaining)


def _check(count: int, number: int, targets: int, weights: Array | None) -> None:
    ranges.check("count", count, ranges.COUNT)
    if count > number:
        raise errors.InvalidArgumentError(
            f"count must be at most {number}, the points that there are, each of which"
            f" can be chosen once; got {count}"
        )
    if weights is None:
        return
    if weights.shape != (targets,):
        raise errors.InvalidArgumentError(
            f"weights must be one number for each of the {targets} targets, got shape"
            f" {weights.shape}"
        )
    if not isinstance(weights, jax.core.Tracer) and (np.asarray(weights) < 0).any():
        raise errors.InvalidArgumentError(
            f"weights must not be negative, got {np.asarray(weights).min()}"
        )


def _length(points: Points) -> int:
    return jax.tree.leaves(points)[0].shape[0]


def _blank(points: Points, mask: Bool[Array, " n"]) -> Points:
    """Zeros for the points that are not of the mask."""

    def keep(leaf):
        return jnp.where(mask.reshape(-1, *(1,) * (leaf.ndim - 1)), leaf, 0)

    return jax.tree.map(keep, points)
