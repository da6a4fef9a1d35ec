"""Skipping pairs of a task and a demonstration that carry no weight to speak of."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amf_jax import criteria, embeddings, tiles
from amf_jax.posterior.pairs import pair, per_task
from tests import problems

POLICY = problems.tiny_policy()
EMBEDDING = embeddings.last_layer_gradient(POLICY.last_layer)
STEPS = jnp.array([[True, True], [True, False], [False, False]])
WEIGHTS = jnp.array([[0.5, 0.0, 0.0], [0.04, 0.9, 0.0]])
DEMOS = problems.tiny_demos(task_ids=(0, 1, 0), horizon=2)._replace(
    step_mask=STEPS, demo_mask=jnp.array([True, True, False])
)
TASKS = problems.tiny_tasks(num_tasks=2)


def paired(weights, tolerance):
    """Pairs whose points are the task and the observation of each step."""

    def embed(params, key, observations, actions, tasks):
        return jnp.concatenate([tasks, observations], axis=-1)

    embedding = embeddings.Embedding(embed, None, None)
    return pair(embedding, None, None, DEMOS, TASKS, weights, tolerance)


def test_pairs_that_count_come_first_in_the_order_of_their_tasks():
    pairs = paired(WEIGHTS, 0.0)
    assert int(pairs.num_kept) == 3
    assert pairs.order[:3].tolist() == [0, 3, 4]
    points, steps = pairs.points(pairs.order[:3])
    for i, (task, row) in enumerate([(0, 0), (1, 0), (1, 1)]):
        np.testing.assert_array_equal(points[i, :, :2], np.stack(2 * [TASKS[task]]))
        np.testing.assert_array_equal(points[i, :, 2:], DEMOS.observations[row])
    assert steps.tolist() == [[True, True], [True, True], [True, False]]
    np.testing.assert_allclose(pairs.weights, [0.5, 0.04, 0.9, 0, 0, 0], rtol=1e-6)


def test_the_tolerance_is_a_share_of_the_tasks_largest_weight():
    pairs = paired(WEIGHTS, 0.05)  # .04 is at most .05 x .9
    assert int(pairs.num_kept) == 2
    np.testing.assert_allclose(pairs.weights, [0.5, 0.9, 0, 0, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(
        per_task(pairs, 10 * pairs.weights, 2), [5.0, 9.0], rtol=1e-6
    )


def test_without_a_tolerance_every_pair_stays_where_it_is():
    pairs = paired(WEIGHTS, None)
    assert pairs.num_kept is None
    assert pairs.order.tolist() == list(range(6))
    np.testing.assert_array_equal(pairs.weights, WEIGHTS.ravel())


def test_a_weight_that_is_not_a_number_is_never_skipped():
    pairs = paired(WEIGHTS.at[0].set(jnp.nan), 0.5)
    assert int(pairs.num_kept) == 4  # the whole first task, and one of the second
    assert np.isnan(pairs.weights[:3]).all()


def scores(context, *, scale=1.0, space="function", **options):
    policy = problems.tiny_policy(likelihood_std=scale)
    selector = problems.amf(
        EMBEDDING, policy.log_likelihood, noise_variance=0.3, space=space, **options
    )
    state = jax.jit(selector.init)(context)
    _, _, info = jax.jit(selector.select)(jax.random.key(0), state, context)
    return info


@pytest.mark.parametrize("criterion", criteria.CRITERIA)
@pytest.mark.parametrize(
    ("weights", "microbatch", "tile"),
    [("deterministic", 2, 2), ("self_normalised", None, 512)],
)
def test_skipping_what_has_no_weight_changes_no_score(
    criterion, weights, microbatch, tile, monkeypatch
):
    monkeypatch.setattr(tiles, "_POINTS_AT_A_TIME", tile)  # several, or one
    context = problems.tiny_context(task_ids=(0, 1, 0, 2, 1), capacity=7)
    options = dict(criterion=criterion, weights=weights)
    options |= dict(microbatch=microbatch)
    everything = scores(context, weight_tolerance=None, **options)
    skipped = scores(context, weight_tolerance=0.0, **options)
    np.testing.assert_allclose(skipped.scores, everything.scores, rtol=2e-5)
    np.testing.assert_allclose(skipped.pruned_weight, np.zeros(3), atol=1e-6)


def test_a_tolerance_changes_scores_by_no_more_than_its_bound():
    context = problems.tiny_context(task_ids=(0, 1, 0, 2, 1), capacity=7)
    exact = scores(context, scale=0.5, weight_tolerance=None, normalise_kernel=False)
    pruned = scores(context, scale=0.5, weight_tolerance=0.2, normalise_kernel=False)
    missing = np.asarray(pruned.pruned_weight)
    kept = np.asarray(exact.importance_weights)
    kept = np.where(kept > 0.2 * kept.max(axis=1, keepdims=True), kept, 0.0)
    np.testing.assert_allclose(missing, 1.0 - kept.sum(axis=1), atol=1e-6)
    assert 0.01 < missing.max() < 0.5
    points = embeddings.embed_relabelled(
        EMBEDDING, context.embedding_params, None, context.demos, context.tasks
    )
    largest = float(EMBEDDING.diagonal(points).max())
    horizon = context.demos.step_mask.shape[1]
    bound = (missing + context.task_weights @ missing) * horizon * largest
    error = np.abs(np.asarray(pruned.scores) - np.asarray(exact.scores))
    assert (error <= bound).all()
    assert error.max() > 1e-4  # it is not exact
