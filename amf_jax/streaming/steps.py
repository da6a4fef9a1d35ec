"""What is computed of one microbatch, and sums over all of them.

Every function here is compiled once for a shape of microbatch, however many there are.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from amf_jax import demonstrations as demonstrations_lib
from amf_jax import importance
from amf_jax.demonstrations import Demonstrations
from amf_jax.embeddings import Embedding, embed_pairs
from amf_jax.posterior import moments as moments_lib
from amf_jax.posterior.moments import Given, MomentPosterior
from amf_jax.selectors.weighting import without_likelihoods

_given = jax.jit(moments_lib.given)


class Sum(NamedTuple):
    """A float32 sum of many terms that rounds as if it were of few.

    Attributes:
      total: the sum as it is rounded.
      lost: what rounding has taken from it so far.
    """

    total: Array
    lost: Array


class Moments(NamedTuple):
    """Upper triangles of second moments, of two occupancies of the same points.

    Attributes:
      history: `G`, of the demonstrations at hand under their own tasks.
      occupancy: `S`, of the weighted pairs.
    """

    history: Sum
    occupancy: Sum


def add(held: Sum, more: Array) -> Sum:
    """Adds a term and keeps what rounding takes: the two-sum of Knuth.

    Example:
      >>> held = Sum(jnp.float32(2.0**24), jnp.float32(0.0))
      >>> print([float(part) for part in add(held, jnp.float32(1.0))])
      [16777216.0, 1.0]
    """
    total = held.total + more
    added = total - held.total
    lost = (held.total - (total - added)) + (more - added)
    return Sum(total, held.lost + lost)


def value(held: Sum) -> np.ndarray:
    """The sum in double precision, on the host."""
    return np.asarray(held.total, np.float64) + np.asarray(held.lost, np.float64)


def no_moments(width: int, dtype) -> Moments:
    """Sums over nothing, each in a buffer of its own."""
    four = (jnp.zeros((width, width), dtype) for _ in range(4))
    return Moments(Sum(next(four), next(four)), Sum(next(four), next(four)))


@functools.partial(jax.jit, static_argnames=("log_likelihood", "clip"))
def log_likelihoods(
    log_likelihood: Callable,
    clip: tuple[float, float] | None,
    params,
    demos: Demonstrations,
    tasks: Float[Array, "C D"],
) -> Float[Array, "C b"]:
    """Of a microbatch of demonstrations under every task."""
    demos = demonstrations_lib.fill_padding(demos)
    return importance.trajectory_log_likelihoods(
        log_likelihood, params, demos, tasks, clip
    )


def weights(mode: str, table: np.ndarray, task_ids: np.ndarray) -> np.ndarray:
    """Importance weights `[C, N]` from all log-likelihoods.

    Columns are added until their number is a power of two, so that a pool that grows
    compiles this seldom.
    """
    count = table.shape[1]
    missing = (1 << (count - 1).bit_length()) - count
    mask = np.arange(count + missing) < count
    padded = np.pad(table, ((0, 0), (0, missing))), np.pad(task_ids, (0, missing))
    return np.asarray(_weights(mode, *padded, mask))[:, :count]


@functools.partial(jax.jit, static_argnames=("mode",))
def _weights(mode, table, task_ids, mask) -> Float[Array, "C N"]:
    ids = jnp.arange(table.shape[0], dtype=jnp.int32)
    if mode not in importance.ESTIMATORS:
        return without_likelihoods(mode, ids, task_ids, mask, table.dtype)
    counts = importance.task_counts(task_ids, mask, ids.size)
    log_weights = importance.log_importance_weights(table, table, counts)
    return importance.ESTIMATORS[mode](log_weights, mask)


@functools.partial(
    jax.jit, static_argnames=("embedding",), donate_argnames=("moments",)
)
def add_moments(
    embedding: Embedding,
    params,
    moments: Moments,
    demos: Demonstrations,
    at_hand: Float[Array, " b"],
    mass: Float[Array, " b"],
) -> Moments:
    """Adds the pairs of a microbatch to both moments.

    Args:
      embedding: with `features`.
      params: as in `Embedding.embed`.
      moments: so far; their buffers are written over.
      demos: each under the task of its pair.
      at_hand: 1 for a demonstration under its own task, else 0.
      mass: weight of a pair in the occupancy.
    """
    phi, steps = embed(embedding, params, demos)
    flat = phi.reshape(-1, phi.shape[-1])
    blank = jnp.zeros((flat.shape[1], flat.shape[1]), flat.dtype)

    def moment(weights: Float[Array, " b"]) -> Array:
        spread = jnp.where(steps, weights[:, None], 0.0).ravel()
        return moments_lib.add_second_moment(blank, flat, spread)

    return Moments(
        add(moments.history, moment(at_hand)), add(moments.occupancy, moment(mass))
    )


@functools.partial(jax.jit, static_argnames=("embedding",))
def scores(
    embedding: Embedding, params, demos: Demonstrations, given: Given
) -> Float[Array, " b"]:
    """The expected reduction of the variance by each pair of a microbatch (eq. 4)."""
    phi, steps = embed(embedding, params, demos)
    return given.score(phi, steps)


def width(embedding: Embedding, params, demos: Demonstrations) -> int:
    """Of the features, without computing any."""
    shapes = jax.eval_shape(functools.partial(embed, embedding), params, demos)
    return shapes[0].shape[-1]


def embed(embedding: Embedding, params, demos: Demonstrations) -> tuple[Array, Array]:
    """Features `[b, H, P]` of every step, and which of them are recorded."""
    assert embedding.features is not None  # checked before the first pass
    demos = demonstrations_lib.fill_padding(demos)
    rows = jnp.arange(demos.demo_mask.shape[0])
    key = jax.random.key(0)  # that of `selectors.amf` with frozen embeddings
    points = embed_pairs(embedding, params, key, demos, rows, demos.tasks)
    return jax.vmap(embedding.features)(points), demonstrations_lib.valid_steps(demos)


def whiten(moments: Moments, noise_variance: float, mass: float | None, dtype) -> Given:
    """What is left to do with P x P matrices: once, on the CPU, in double precision.

    The history of a large pool outweighs the noise by as many orders of magnitude as it
    has steps, and what single precision would lose are the directions that it knows
    least about.

    Args:
      moments: of the whole pool.
      noise_variance: in units of the scaled kernel.
      mass: of the occupancy, to scale the kernel by its mean diagonal; None does not.
      dtype: floating type of what is returned.
    """
    with jax.enable_x64(True), jax.default_device(jax.local_devices(backend="cpu")[0]):
        uppers = (jnp.asarray(value(held)) for held in moments)
        history, occupancy = map(moments_lib.mirrored, uppers)
        noise, one = (jnp.asarray(x, history.dtype) for x in (noise_variance, 1))
        scale = one if mass is None else moments_lib.mean_diagonal(occupancy, mass)
        posterior = MomentPosterior(history, noise, scale, jitter=0 * one)
        found = jax.tree.map(np.asarray, _given(posterior, occupancy))
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), found)
