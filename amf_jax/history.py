"""The history of a selector: a posterior conditioned on whole demonstrations."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from amf_jax import posterior as gp
from amf_jax.demonstrations import Demonstrations, valid_steps
from amf_jax.dtypes import compute_dtype
from amf_jax.embeddings import Embedding, embed_demonstration
from amf_jax.posterior import Posterior


def prior(
    embedding: Embedding, params, demos: Demonstrations, capacity: int, noise_variance
) -> Posterior:
    """A posterior conditioned on nothing, with room for `capacity` steps."""
    template = jax.eval_shape(
        lambda: embed_demonstration(embedding, params, jax.random.key(0), demos, 0)
    )
    dtype = compute_dtype(template, demos.actions, demos.tasks)
    return gp.empty(template, max(capacity, 1), noise_variance, dtype=dtype)


def absorb(
    embedding: Embedding,
    posterior: Posterior,
    params,
    key,
    demos: Demonstrations,
    first: Int[Array, ""] | int,
    last: Int[Array, ""] | int,
    offset: Int[Array, ""] | int = 0,
) -> Posterior:
    """Conditions on demonstrations `first` to `last - 1`, each under its own task.

    Row r of `demos` takes the factor's rows from `offset + r * H` on. The bounds are
    traced: absorbing one more demonstration each round compiles once.
    """
    steps = valid_steps(demos)
    horizon = steps.shape[1]

    def append(row, held):
        points = embed_demonstration(embedding, params, key, demos, row)
        start = offset + row * horizon
        return gp.condition(embedding.kernel, held, points, steps[row], start)

    return jax.lax.fori_loop(first, last, append, posterior)


def own_scale(embedding: Embedding, params, key, demos: Demonstrations) -> Array:
    """Mean of `k(x, x)` over the recorded steps, each under its own task."""
    rows = jnp.arange(demos.demo_mask.shape[0])
    points = jax.vmap(
        lambda row: embed_demonstration(embedding, params, key, demos, row)
    )(rows)
    flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), points)
    mass = valid_steps(demos).ravel().astype(compute_dtype(flat))
    return mean_diagonal(embedding, flat, mass)


def mean_diagonal(embedding: Embedding, points, weights) -> Array:
    """Weighted mean of `k(x, x)`: the scale that makes the mean prior variance one.

    One where every embedding is zero, so that nothing is divided by zero.
    """
    assert embedding.diagonal is not None  # checked when the selector was built
    # What does not count may be whatever, and a kernel NaN there.
    total = weights @ jnp.where(weights == 0, 0.0, embedding.diagonal(points))
    mass = weights.sum()
    return jnp.where((total > 0) & (mass > 0), total / mass, 1.0)
