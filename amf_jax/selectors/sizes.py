"""Shapes of a selection, from which its cost is predicted."""

import jax

from amf_jax import cost
from amf_jax.embeddings import Embedding, embed_demonstration
from amf_jax.selectors.base import Context


def sizes_of(
    embedding: Embedding,
    context: Context,
    trajectory_samples: int | None,
    condition_on_history: bool,
    skips: bool,
    own: bool,
) -> cost.Sizes:
    """Shapes of a selection; as many candidates as evaluation tasks are assumed.

    Args:
      embedding: of steps.
      context: whose shapes matter alone.
      trajectory_samples: demonstrations that enter the sums at most; None is all.
      condition_on_history: whether the posterior also holds those at hand.
      skips: whether pairs of little weight are skipped.
      own: whether the candidates are the evaluation tasks.
    """
    demos = context.demos
    rows, horizon = demos.step_mask.shape
    rows_scored = min(rows, trajectory_samples or rows)
    pairs = rows_scored if skips else rows_scored * context.tasks.shape[0]
    point, width = _point_shapes(embedding, context)
    return cost.Sizes(
        evaluated=pairs,
        blocks=pairs,
        horizon=horizon,
        history=rows * horizon if condition_on_history else 0,
        width=sum(leaf.size for leaf in jax.tree.leaves(point)),
        features=width,
        own=own,
    )


def _point_shapes(embedding: Embedding, context: Context):
    """One point as shapes, and the width of its features (None without)."""

    def one():
        key, demos = jax.random.key(0), context.demos
        params = context.embedding_params
        points = embed_demonstration(embedding, params, key, demos, 0)
        wide = None if embedding.features is None else embedding.features(points)
        return jax.tree.map(lambda leaf: leaf[0], points), wide

    point, wide = jax.eval_shape(one)
    return point, None if wide is None else wide.shape[-1]
