"""The path by features: explicit embeddings, linear in the points that count."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from amf_jax import features
from amf_jax.demonstrations import valid_steps
from amf_jax.dtypes import compute_dtype
from amf_jax.embeddings import Embedding, embed_demonstration
from amf_jax.features import FeaturePosterior
from amf_jax.selectors.pairs import Pairs, chunks
from amf_jax.selectors.paths import Path

#: Steps embedded and multiplied at a time: enough to keep a matmul busy.
STEPS_AT_A_TIME = 1024


class Moment(NamedTuple):
    """The occupancy, as all that the criterion needs of it.

    Attributes:
      second_moment: `sum_x w_x phi(x) phi(x)'`.
      mass: `sum_x w_x`.
    """

    second_moment: Float[Array, "P P"]
    mass: Float[Array, ""]


def feature_path(embedding: Embedding, blocks_at_a_time: int | None) -> Path:
    """The path by second moments, for the variance criterion (eq. 4).

    Args:
      embedding: with `features`.
      blocks_at_a_time: pairs at work at once; None fills a matmul.
    """
    assert embedding.features is not None  # checked when the selector was built
    explicit = embedding.features

    def empty(context, rows: int, noise_variance) -> FeaturePosterior:
        del rows  # it has room for any number

        def one():
            demos = context.demos
            params, key = context.embedding_params, jax.random.key(0)
            return explicit(embed_demonstration(embedding, params, key, demos, 0))

        template = jax.eval_shape(one)
        dtype = compute_dtype(template, context.demos.actions, context.demos.tasks)
        return features.empty(template.shape[1], noise_variance, dtype=dtype)

    def absorb(posterior, params, key, demos, first, last, offset=0):
        del offset
        steps = valid_steps(demos)

        def add(row, upper):
            phi = explicit(embed_demonstration(embedding, params, key, demos, row))
            return features.add_points(upper, phi, steps[row])

        upper = jax.lax.fori_loop(first, last, add, posterior.second_moment)
        return posterior._replace(second_moment=features.mirrored(upper))

    def extend(posterior, params, key, demos):
        return absorb(posterior, params, key, demos, 0, demos.demo_mask.shape[0])

    def embed(pairs: Pairs, order) -> tuple[Array, Bool[Array, "b H"]]:
        points, steps = pairs.points(order)
        return jax.vmap(explicit)(points), steps

    def occupancy(pairs: Pairs, mass: Float[Array, " P"]) -> Moment:
        order, size, number = chunks(pairs, STEPS_AT_A_TIME, blocks_at_a_time)
        mass = jnp.pad(mass, (0, order.size - mass.size))

        def add(i, total: Moment):
            phi, steps = embed(pairs, _slice(order, i, size))
            weights = jnp.where(steps, _slice(mass, i, size)[:, None], 0.0).ravel()
            upper = features.add_second_moment(
                total.second_moment, phi.reshape(weights.size, -1), weights
            )
            return Moment(upper, total.mass + weights.sum())

        phi, _ = jax.eval_shape(functools.partial(embed, pairs), order[:1])
        width = phi.shape[-1]
        blank = Moment(jnp.zeros((width, width), mass.dtype), jnp.zeros((), mass.dtype))
        total = jax.lax.fori_loop(0, number, add, blank)
        return total._replace(second_moment=features.mirrored(total.second_moment))

    def mean_diagonal(moment: Moment):
        return features.mean_diagonal(moment.second_moment, moment.mass)

    def scorer(posterior: FeaturePosterior, moment: Moment):
        whitener, posterior = features.factor(posterior)
        whitened = features.whiten_moment(whitener, moment.second_moment)
        half = features.half(whitened)

        def score(pairs: Pairs) -> Float[Array, " P"]:
            order, size, number = chunks(pairs, STEPS_AT_A_TIME, blocks_at_a_time)

            def add(i, values):
                phi, steps = embed(pairs, _slice(order, i, size))
                new = features.expected_variance_reduction(
                    whitener, phi, steps, half, posterior.noise_variance
                )
                return jax.lax.dynamic_update_slice_in_dim(values, new, i * size, 0)

            blank = jnp.zeros(order.shape, moment.mass.dtype)
            values = jax.lax.fori_loop(0, number, add, blank)[: pairs.order.size]
            count = pairs.order.size if pairs.num_kept is None else pairs.num_kept
            return jnp.where(jnp.arange(values.size) < count, values, 0.0)

        return posterior, features.rounding(whitener, posterior), score, score

    return Path(
        empty, absorb, extend, lambda pairs: pairs, occupancy, mean_diagonal, scorer
    )


def _slice(values: Array, i, size: int) -> Array:
    return jax.lax.dynamic_slice_in_dim(values, i * size, size)
