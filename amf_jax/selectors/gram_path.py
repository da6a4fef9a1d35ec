"""The path by kernels: any kernel and criterion, quadratic in the points that count."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from amf_jax import history
from amf_jax import posterior as gp
from amf_jax.criteria import Criterion, Occupancy
from amf_jax.embeddings import Embedding
from amf_jax.selectors.base import carry_over
from amf_jax.selectors.pairs import Pairs, chunks
from amf_jax.selectors.paths import Path

# Steps embedded at a time.
_STEPS_AT_A_TIME = 512


class View(NamedTuple):
    """Pairs with their points.

    Attributes:
      pairs: tasks and demonstrations.
      points: leaves `[P, H, ...]`; whatever where a pair is skipped.
      steps: which steps are recorded.
    """

    pairs: Pairs
    points: Any
    steps: Bool[Array, "P H"]


def gram_path(
    embedding: Embedding, criterion: Criterion, blocks_at_a_time: int | None
) -> Path:
    """The path by kernels between all points that count.

    Args:
      embedding: whose kernel it is.
      criterion: any.
      blocks_at_a_time: candidate blocks scored at once; None fits the cache.
    """

    def empty(context, rows: int, noise_variance):
        return history.prior(
            embedding,
            context.embedding_params,
            context.demos,
            rows,
            noise_variance,
        )

    def absorb(posterior, params, key, demos, first, last, offset=0):
        return history.absorb(
            embedding, posterior, params, key, demos, first, last, offset
        )

    def extend(posterior, params, key, demos):
        count, held = demos.demo_mask.shape[0], posterior.mask.shape[0]
        larger = gp.empty(
            posterior.points,
            held + demos.step_mask.size,
            posterior.noise_variance,
            dtype=posterior.cholesky.dtype,
        )
        roomy = carry_over(posterior, larger)
        return absorb(roomy, params, key, demos, 0, count, held)

    def view(pairs: Pairs) -> View:
        return View(pairs, *_embed(pairs))

    def occupancy(view: View, mass: Float[Array, " P"]) -> Occupancy:
        kept, horizon = view.pairs.num_kept, view.steps.shape[1]
        return Occupancy(
            points=jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), view.points),
            weights=jnp.where(view.steps, mass[:, None], 0.0).ravel(),
            num_weighted=None if kept is None else kept * horizon,
        )

    def mean_diagonal(occupancy: Occupancy):
        return history.mean_diagonal(embedding, occupancy.points, occupancy.weights)

    def scorer(posterior, occupancy: Occupancy):
        def score_by(rule, view: View) -> Float[Array, " P"]:
            return rule(
                embedding,
                posterior,
                view.points,
                view.steps,
                occupancy,
                count=view.pairs.num_kept,
                blocks_at_a_time=blocks_at_a_time,
            )

        score = functools.partial(score_by, criterion.score)
        score_own = functools.partial(score_by, criterion.score_own or criterion.score)
        return posterior, gp.rounding(embedding.kernel, posterior), score, score_own

    return Path(empty, absorb, extend, view, occupancy, mean_diagonal, scorer)


def _embed(pairs: Pairs) -> tuple[Any, Bool[Array, "P H"]]:
    """Points of the pairs, chunk by chunk up to the last that is not skipped.

    A last chunk that would stick out starts earlier, and embeds some pairs once more.
    """
    _, size, number = chunks(pairs, _STEPS_AT_A_TIME)
    blank = jax.tree.map(
        lambda leaf: jnp.zeros(leaf.shape, leaf.dtype),
        jax.eval_shape(pairs.points, pairs.order),
    )

    def some(i, held):
        start = i * size  # clamped by both slices
        new = pairs.points(jax.lax.dynamic_slice_in_dim(pairs.order, start, size))
        return jax.tree.map(
            lambda leaf, rows: jax.lax.dynamic_update_slice_in_dim(
                leaf, rows, start, 0
            ),
            held,
            new,
        )

    return jax.lax.fori_loop(0, number, some, blank)
