"""Batched posterior variance of a Gaussian process: factor once, score many.

The posterior is carried as a Cholesky factor in a buffer of fixed capacity.
Conditioning on a demonstration appends its rows to the factor, so a round never
rebuilds what earlier rounds solved; rows not yet in use are identity rows, which leave
every solve unchanged.
"""

import functools
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Bool, Float, Int

Points = Any  # a pytree whose leaves lead with the axis of points
Kernel = Callable[[Points, Points], Array]

_MAX_RETRIES = 6

# Observations at most that are solved row by row.
_ROW_BY_ROW = 8

# Rows that a residual is computed of.
_CHECKED = 32


class Posterior(NamedTuple):
    """What conditioning leaves behind: a factor of `K(X, X) / scale + noise I`.

    Attributes:
      points: the conditioning inputs X, padded to the capacity M.
      mask: which rows of `points` are in use.
      cholesky: lower factor; identity on rows not in use.
      noise_variance: observation noise of the expert, in units of the scaled kernel.
      scale: what the kernel is divided by, so that `noise_variance` means the same
        whatever the size of the embeddings.
      jitter: the largest diagonal term that had to be added so far (0 if none).
    """

    points: Points
    mask: Bool[Array, " M"]
    cholesky: Float[Array, "M M"]
    noise_variance: Float[Array, ""]
    scale: Float[Array, ""]
    jitter: Float[Array, ""]


def safe_cholesky(
    matrix: Float[Array, "*batch n n"],
    magnitude: Float[Array, "*batch"] | None = None,
) -> tuple[Float[Array, "*batch n n"], Float[Array, "*batch"]]:
    """Cholesky factors of a batch, with the least jitter out of a short ladder.

    The first try adds nothing. Where a factor is not finite, the diagonal is raised by
    ten times the machine epsilon of the mean diagonal, then ten times that, and so on
    for at most 6 retries, inside jit. A matrix that resists all of them (one that holds
    NaN or inf) yields NaN, which the callers report; it is never silently replaced.

    Args:
      matrix: symmetric matrices.
      magnitude: what rounding is relative to, instead of the mean diagonal. A matrix
        that is a difference has the rounding of what was subtracted.

    Returns:
      The factors and the absolute jitter that each one needed.
    """
    size = matrix.shape[-1]
    epsilon = jnp.finfo(matrix.dtype).eps
    if magnitude is None:
        magnitude = jnp.abs(jnp.trace(matrix, axis1=-2, axis2=-1)) / size
    unit = epsilon * magnitude
    eye = jnp.broadcast_to(jnp.eye(size, dtype=matrix.dtype), matrix.shape)

    def failed(factor):
        return ~jnp.isfinite(factor).all(axis=(-2, -1))

    def retry(carry):
        attempt, jitter, factor = carry
        bad = failed(factor)
        jitter = jnp.where(bad, unit * jnp.full_like(unit, 10.0) ** attempt, jitter)
        again = jnp.linalg.cholesky(matrix + jitter[..., None, None] * eye)
        return attempt + 1, jitter, jnp.where(bad[..., None, None], again, factor)

    def unfinished(carry):
        attempt, _, factor = carry
        return (attempt <= _MAX_RETRIES) & failed(factor).any()

    start = (jnp.int32(1), jnp.zeros_like(unit), jnp.linalg.cholesky(matrix))
    _, jitter, factor = jax.lax.while_loop(unfinished, retry, start)
    # An infinite factor would solve to zeros.
    return jnp.where(failed(factor)[..., None, None], jnp.nan, factor), jitter


def empty(
    template: Points, capacity: int, noise_variance, scale=1.0, dtype=jnp.float32
) -> Posterior:
    """The prior: a posterior conditioned on nothing, with room for `capacity` points.

    Args:
      template: points (or `jax.ShapeDtypeStruct`s) with any number of rows; only their
        trailing shapes and dtypes are used.
      capacity: the number M of points the buffer can hold.
      noise_variance: observation noise, relative to the scaled kernel; positive.
      scale: what the kernel is divided by.
      dtype: floating type of the factor.
    """
    points = jax.tree.map(
        lambda leaf: jnp.zeros((capacity, *leaf.shape[1:]), leaf.dtype), template
    )
    return Posterior(
        points=points,
        mask=jnp.zeros((capacity,), bool),
        cholesky=jnp.eye(capacity, dtype=dtype),
        noise_variance=jnp.asarray(noise_variance, dtype),
        scale=jnp.asarray(scale, dtype),
        jitter=jnp.zeros((), dtype),
    )


def inverse_factor(posterior: Posterior) -> Float[Array, "M M"]:
    """`L^-1`, for callers that whiten many times more points than there are rows.

    A product with it takes twice the multiply-adds of a solve, in less time.
    """
    eye = jnp.eye(posterior.mask.shape[0], dtype=posterior.cholesky.dtype)
    return solve_triangular(posterior.cholesky, eye, lower=True)


def whiten(
    kernel: Kernel,
    posterior: Posterior,
    points: Points,
    inverse: Float[Array, "M M"] | None = None,
) -> Float[Array, "M n"]:
    """The solved rows `L^-1 K(X, x)`: every posterior moment is a product of them.

    Args:
      kernel: covariance function.
      posterior: what is known so far.
      points: n of them.
      inverse: `inverse_factor`, to multiply by; None solves.
    """
    cross = kernel(posterior.points, points) / posterior.scale
    cross = jnp.where(posterior.mask[:, None], cross, 0.0)
    if inverse is None:
        return solve_triangular(posterior.cholesky, cross, lower=True)
    return inverse @ cross


def condition(
    kernel: Kernel,
    posterior: Posterior,
    points: Points,
    mask: Bool[Array, " n"],
    start: Int[Array, ""] | int,
) -> Posterior:
    """Appends rows to the factor: conditions on noisy values at `points`.

    Costs `M^2 n` multiply-adds instead of the `M^3` of a new factorisation, and gives
    the factor that the new one would be.

    Args:
      kernel: covariance function.
      posterior: what is known so far.
      points: n further conditioning inputs.
      mask: rows to use; a masked row becomes an identity row, which conditions on
        nothing.
      start: first row to write, a traced number; rows from there on must be unused, and
        `start + n` may not exceed the capacity.
    """
    rows, start = mask.shape[0], jnp.asarray(start, jnp.int32)
    solved = jnp.where(mask[None, :], whiten(kernel, posterior, points), 0.0)
    prior = kernel(points, points) / posterior.scale
    factor, jitter = factor_noisy(prior, solved, mask, posterior.noise_variance)

    cholesky = jax.lax.dynamic_update_slice(
        posterior.cholesky, solved.T, (start, jnp.int32(0))
    )
    cholesky = jax.lax.dynamic_update_slice(cholesky, factor, (start, start))

    def write(buffer, new):
        return jax.lax.dynamic_update_slice_in_dim(
            buffer, new.astype(buffer.dtype), start, 0
        )

    used = jax.lax.dynamic_slice_in_dim(posterior.mask, start, rows) | mask
    return posterior._replace(
        points=jax.tree.map(write, posterior.points, points),
        mask=write(posterior.mask, used),
        cholesky=cholesky,
        jitter=jnp.maximum(posterior.jitter, jitter),
    )


def rounding(kernel: Kernel, posterior: Posterior) -> Float[Array, ""]:
    """What rounding and jitter did to `K + noise I`, relative to the noise.

    The residual of one product, with a vector x that alternates in sign,

        |(K + noise I) x - L L' x| / (noise |x|),

    over some of the rows. Nearly equal rows differ by the noise alone: once that is
    lost, so is what tells them apart.

    Example:
      >>> kernel, point = lambda x, y: x @ y.T, jnp.ones((2, 1))
      >>> for noise in (1.0, 1e-9):
      ...     held = empty(point, capacity=2, noise_variance=noise)
      ...     held = condition(kernel, held, point, jnp.array([True, True]), start=0)
      ...     print(rounding(kernel, held) < 1e-6)
      True
      False
    """
    mask, noise = posterior.mask, posterior.noise_variance
    place = jnp.cumsum(mask)
    signs = jnp.where(mask, 1.0 - 2.0 * (place % 2), 0.0).astype(noise.dtype)
    count = place[-1]
    spread = jnp.arange(_CHECKED) * count // _CHECKED
    rows = jnp.minimum(jnp.searchsorted(place, 1 + spread), mask.size - 1)
    some = jax.tree.map(lambda leaf: leaf[rows], posterior.points)
    across = kernel(some, posterior.points) / posterior.scale
    across = jnp.where(mask[None, :], across, 0.0)
    factored = posterior.cholesky[rows] @ (signs @ posterior.cholesky)
    residual = across @ signs + noise * signs[rows] - factored
    return jnp.where(count > 0, jnp.sqrt(jnp.mean(residual**2)) / noise, 0.0)


def underflow(scale: Float[Array, ""], width: int) -> Float[Array, ""]:
    """What a kernel of that scale, a sum of `width` products, may have lost of itself.

    Products below the smallest normal number are flushed to zero or lose their digits.

    Example:
      >>> print(underflow(jnp.float32(1e-37), 10) > 0.5, underflow(jnp.float32(1), 10))
      True 1.1754944e-37
    """
    return width * jnp.finfo(scale.dtype).tiny / scale


def mean_diagonal(
    diagonal: Callable[[Points], Array], points: Points, weights: Float[Array, " n"]
) -> Float[Array, ""]:
    """Weighted mean of `k(x, x)`: the scale that makes the mean prior variance one.

    One where every embedding is zero, so that nothing is divided by zero.
    """
    # What does not count may be whatever, and a kernel NaN there.
    total = weights @ jnp.where(weights == 0, 0.0, diagonal(points))
    mass = weights.sum()
    return jnp.where((total > 0) & (mass > 0), total / mass, 1.0)


def variance(
    kernel: Kernel,
    diagonal: Callable[[Points], Array],
    posterior: Posterior,
    points: Points,
    inverse: Float[Array, "M M"] | None = None,
) -> Float[Array, " n"]:
    """Posterior variance `k(x,x) - K(x,X) [K(X,X) + noise I]^-1 K(X,x)`, at least 0.

    In units of the scaled kernel; the reduction is the right-hand side of eq. 4. For
    `inverse` see `whiten`.

    Example:
      One observation of a point with prior variance 1, noise variance 1:

      >>> kernel, diagonal = lambda x, y: x @ y.T, lambda x: (x**2).sum(-1)
      >>> point = jnp.array([[1.0]])
      >>> held = empty(point, capacity=2, noise_variance=1.0)
      >>> held = condition(kernel, held, point, jnp.array([True]), start=0)
      >>> print(variance(kernel, diagonal, held, point).round(3))
      [0.5]
    """
    solved = whiten(kernel, posterior, points, inverse)
    return variance_given(diagonal(points) / posterior.scale, solved)


def variance_given(
    prior_variance: Float[Array, " n"], solved: Float[Array, "M n"]
) -> Float[Array, " n"]:
    """The same from solved rows, for callers that need the rows as well."""
    return jnp.maximum(prior_variance - jnp.sum(solved**2, axis=0), 0.0)


def explained(
    cholesky: Float[Array, "h h"], cross: Float[Array, "h n"]
) -> Float[Array, " n"]:
    """Variance that h observations explain, `|L^-1 k|^2` of each column k of `cross`.

    Few observations of many points are solved row by row: LAPACK would have the short
    axis innermost, where nothing is vectorised.
    """
    if cross.shape[0] > _ROW_BY_ROW:
        return jnp.sum(solve_triangular(cholesky, cross, lower=True) ** 2, axis=0)
    solved: list[Array] = []
    for i, row in enumerate(cross):
        for j, earlier in enumerate(solved):
            row = row - cholesky[i, j] * earlier
        solved.append(row / cholesky[i, i])
    return functools.reduce(operator.add, map(jnp.square, solved))


def factor_noisy(
    prior: Float[Array, "n n"],
    solved: Float[Array, "M n"],
    mask: Bool[Array, " n"],
    noise_variance,
) -> tuple[Float[Array, "n n"], Float[Array, ""]]:
    """Factor of `prior - solved' solved + noise_variance I`; masked rows: identity.

    Where points repeat, next to nothing but rounding is left of the difference: it is
    `prior` that any jitter has to be measured by.
    """
    eye = jnp.eye(prior.shape[0], dtype=prior.dtype)
    pair = mask[:, None] & mask[None, :]
    remaining = prior - solved.T @ solved + noise_variance * eye
    magnitude = jnp.where(mask, jnp.diagonal(prior), 0.0).max() + noise_variance
    return safe_cholesky(jnp.where(pair, remaining, eye), magnitude)
