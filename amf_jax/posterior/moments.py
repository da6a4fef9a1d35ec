"""The posterior by second moments of explicit embeddings.

Where the kernel is an inner product of embeddings of width P, every sum over points is
a P x P matrix that grows with nothing. With the second moments

    G = sum_h phi(h) phi(h)'         of the history, and
    S = sum_x w_x phi(x) phi(x)'     of the occupancy,

the posterior covariance is `k(x, y) = noise phi(x)' (noise I + G)^-1 phi(y)`, and the
expected reduction of the variance (eq. 4) by a block B with embeddings Phi is

    score(B) = tr[(Psi Psi' + noise I)^-1 Psi S~ Psi'],

where Psi and S~ are Phi and S whitened by the history. That is the same number as
`criteria.expected_variance_reduction` gives by kernels between all pairs of points; it
takes P^2 multiply-adds a point instead of one per pair of points.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_solve, solve_triangular
from jaxtyping import Array, Bool, Float

from amf_jax.posterior.gaussian_process import safe_cholesky

# Columns of a symmetric matrix at work at a time: what stands below them is left out.
_COLUMNS_AT_A_TIME = 512


class MomentPosterior(NamedTuple):
    """What conditioning leaves behind: P x P numbers, whatever it is conditioned on.

    Attributes:
      second_moment: `G`, in the units of the embeddings. Adding to it conditions.
      noise_variance: observation noise of the expert, in units of the scaled kernel.
      scale: what the kernel is divided by.
      jitter: the largest diagonal term that a factor needed so far (0 if none).
    """

    second_moment: Float[Array, "P P"]
    noise_variance: Float[Array, ""]
    scale: Float[Array, ""]
    jitter: Float[Array, ""]


class Given(NamedTuple):
    """All that the score of a block needs of everything else.

    Attributes:
      whitener: of the history, see `factor`.
      half_moment: `half` of `S~`, the whitened moment of the occupancy.
      noise_variance: in units of the scaled kernel.
      scale: what the kernel is divided by.
      jitter: the largest diagonal term that a factor needed.
      rounding: as in `rounding`.
    """

    whitener: Float[Array, "P P"]
    half_moment: Float[Array, "P P"]
    noise_variance: Float[Array, ""]
    scale: Float[Array, ""]
    jitter: Float[Array, ""]
    rounding: Float[Array, ""]

    def score(
        self, blocks: Float[Array, "b H P"], block_mask: Bool[Array, "b H"]
    ) -> Float[Array, " b"]:
        """See `expected_variance_reduction`."""
        return expected_variance_reduction(
            self.whitener, blocks, block_mask, self.half_moment, self.noise_variance
        )


def given(posterior: MomentPosterior, second_moment: Float[Array, "P P"]) -> Given:
    """The history factored, and the occupancy as it sees it; all P x P work there is.

    Args:
      posterior: the history.
      second_moment: of the occupancy, `S`.
    """
    whitener, posterior = factor(posterior)
    whitened = half(whiten_moment(whitener, second_moment))
    return Given(
        whitener,
        whitened,
        posterior.noise_variance,
        posterior.scale,
        posterior.jitter,
        rounding(whitener, posterior),
    )


def empty(width: int, noise_variance, scale=1.0, dtype=jnp.float32) -> MomentPosterior:
    """The prior: a posterior conditioned on nothing, for embeddings of that width."""
    return MomentPosterior(
        second_moment=jnp.zeros((width, width), dtype),
        noise_variance=jnp.asarray(noise_variance, dtype),
        scale=jnp.asarray(scale, dtype),
        jitter=jnp.zeros((), dtype),
    )


def add_second_moment(
    upper: Float[Array, "P P"],
    features: Float[Array, "n P"],
    weights: Float[Array, " n"],
) -> Float[Array, "P P"]:
    """Adds a second moment to the upper triangle of a sum, for half the work.

    What is left below the diagonal is not to be used: see `mirrored`.
    """
    weighted = weights[:, None] * features
    for start, end in _panels(upper.shape[0]):
        panel = features[:, :end].T @ weighted[:, start:end]
        upper = upper.at[:end, start:end].add(panel)
    return upper


def mirrored(upper: Float[Array, "P P"]) -> Float[Array, "P P"]:
    """The symmetric matrix with this upper triangle."""
    return jnp.triu(upper) + jnp.triu(upper, 1).T


def half(symmetric: Float[Array, "P P"]) -> Float[Array, "P P"]:
    """The upper triangular `R` with `R + R'` equal to a symmetric matrix.

    Example:
      >>> print(half(jnp.array([[2.0, 3.0], [3.0, 4.0]])))
      [[1. 3.]
       [0. 2.]]
    """
    return jnp.triu(symmetric) - 0.5 * jnp.diag(jnp.diagonal(symmetric))


def mean_diagonal(second_moment: Float[Array, "P P"], mass) -> Float[Array, ""]:
    """Weighted mean of `|phi|^2` over points of mass `mass`; 1 where there is none.

    Example:
      >>> print(mean_diagonal(jnp.diag(jnp.array([3.0, 1.0])), 2.0))
      2.0
    """
    total = jnp.trace(second_moment)
    return jnp.where((total > 0) & (mass > 0), total / mass, 1.0)


def add_points(
    upper: Float[Array, "P P"], features: Float[Array, "n P"], mask: Bool[Array, " n"]
) -> Float[Array, "P P"]:
    """Adds the points of the mask, each once; the others may hold anything.

    For loops over many: as in `add_second_moment`, the upper triangle alone counts.
    """
    weights = mask.astype(upper.dtype)
    return add_second_moment(upper, jnp.where(mask[:, None], features, 0.0), weights)


def factor(
    posterior: MomentPosterior,
) -> tuple[Float[Array, "P P"], MomentPosterior]:
    """The history as a change of coordinates, and the posterior with any jitter.

    The whitener is `W = sqrt(noise / scale) L^-T`, upper triangular, with `L` the lower
    factor of `noise I + G / scale`, so that `psi = W' phi`. Solved once: products with
    it keep all cores or an accelerator busy, where a triangular solve for every point
    does not.

    In single precision, `noise I + G / scale` loses directions of the noise's size once
    `G / scale` has eigenvalues of ten million times the noise.
    """
    eye = jnp.eye(posterior.second_moment.shape[0], dtype=posterior.scale.dtype)
    precision = posterior.second_moment / posterior.scale
    lower, jitter = safe_cholesky(precision + posterior.noise_variance * eye)
    root = jnp.sqrt(posterior.noise_variance / posterior.scale)
    kept = posterior._replace(jitter=jnp.maximum(posterior.jitter, jitter))
    return root * solve_triangular(lower, eye, lower=True).T, kept


def rounding(
    whitener: Float[Array, "P P"], posterior: MomentPosterior
) -> Float[Array, ""]:
    """How far the history is from white, in the coordinates of the whitener.

    The residual of `W' (noise I + G / scale) W (scale / noise) = I` for a vector that
    alternates in sign; compare `posterior.rounding`.
    """
    width, noise = whitener.shape[0], posterior.noise_variance
    signs = 1.0 - 2.0 * (jnp.arange(width, dtype=whitener.dtype) % 2)
    turned = whitener @ signs
    moment = posterior.second_moment @ (turned / noise) + turned * posterior.scale
    return jnp.linalg.norm(moment @ whitener - signs) / jnp.linalg.norm(signs)


def whiten(
    whitener: Float[Array, "P P"], features: Float[Array, "n P"]
) -> Float[Array, "n P"]:
    """`psi` of each point: inner products of these are posterior covariances."""
    return _times_upper(features, whitener)


def whiten_moment(
    whitener: Float[Array, "P P"], moment: Float[Array, "P P"]
) -> Float[Array, "P P"]:
    """The second moment of whitened points, from that of the points."""
    return whiten(whitener, whiten(whitener, moment).T)


def expected_variance_reduction(
    whitener: Float[Array, "P P"],
    blocks: Float[Array, "b H P"],
    block_mask: Bool[Array, "b H"],
    half_moment: Float[Array, "P P"],
    noise_variance: Float[Array, ""],
) -> Float[Array, " b"]:
    """Expected drop of posterior variance that each block brings (eq. 4).

    Args:
      whitener: of the history.
      blocks: embeddings of each block.
      block_mask: which of its steps are recorded.
      half_moment: `half` of `S~`, the whitened moment of the occupancy.
      noise_variance: observation noise.
    """
    horizon, width = blocks.shape[1:]
    psi = whiten(
        whitener, jnp.where(block_mask[..., None], blocks, 0.0).reshape(-1, width)
    )
    towards = _times_upper(psi, half_moment).reshape(-1, horizon, width)
    psi = psi.reshape(-1, horizon, width)
    eye, inner = jnp.eye(horizon, dtype=psi.dtype), _inner(psi, psi)
    # Of the recorded steps alone: others are zeros.
    magnitude = jnp.diagonal(inner, axis1=-2, axis2=-1).max(axis=-1) + noise_variance
    lower, _ = safe_cholesky(inner + noise_variance * eye[None], magnitude)
    moments = _inner(towards, psi)
    solved = jax.vmap(lambda low, right: cho_solve((low, True), right))(
        lower, moments + moments.swapaxes(-2, -1)
    )
    return jnp.trace(solved, axis1=-2, axis2=-1)


def _times_upper(
    x: Float[Array, "n P"], upper: Float[Array, "P P"]
) -> Float[Array, "n P"]:
    """`x @ upper`, leaving out most of the zeros."""
    panels = [x[:, :end] @ upper[:end, start:end] for start, end in _panels(len(upper))]
    return jnp.concatenate(panels, axis=1)


def _panels(width: int) -> list[tuple[int, int]]:
    """First and last column of each panel, the latter excluded."""
    starts = range(0, width, _COLUMNS_AT_A_TIME)
    return [(start, min(start + _COLUMNS_AT_A_TIME, width)) for start in starts]


def _inner(x: Float[Array, "b H P"], y: Float[Array, "b H P"]) -> Array:
    return jnp.einsum("bhp,bgp->bhg", x, y)
