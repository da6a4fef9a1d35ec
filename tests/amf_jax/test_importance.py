"""Importance weights against hand arithmetic."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amf_jax import importance
from tests import problems

# Probabilities of two demonstrations (columns; the first is of task 0, the second of
# task 1) under two tasks (rows).
PROBABILITIES = np.array([[1.0, 1 / 2], [1 / 4, 1.0]])
# Divided by the mean of each column, 5/8 and 3/4 (eq. 3).
WEIGHTS = np.array([[8 / 5, 2 / 3], [2 / 5, 4 / 3]])


def log_weights(log_likelihoods, demo_task_ids, mask=None):
    log_likelihoods = jnp.asarray(log_likelihoods, jnp.float32)
    ids = jnp.asarray(demo_task_ids)
    mask = jnp.ones(ids.shape, bool) if mask is None else jnp.asarray(mask)
    return importance.log_importance_weights(
        log_likelihoods, log_likelihoods[ids], mask
    )


def all_held(count):
    return jnp.ones(count, bool)


def test_log_weights_by_hand():
    actual = log_weights(np.log(PROBABILITIES), [0, 1])
    np.testing.assert_allclose(actual, np.log(WEIGHTS), rtol=1e-5)


def test_a_task_demonstrated_twice_counts_twice_in_the_mixture():
    # columns: demonstrations of tasks 0, 0, 1; mixture (2 p0 + p1) / 3
    probabilities = np.array([[0.9, 0.6, 0.3], [0.3, 0.3, 0.9]])
    mixture = np.array([0.7, 0.5, 0.5])
    np.testing.assert_allclose(
        log_weights(np.log(probabilities), [0, 0, 1]),
        np.log(probabilities / mixture),
        rtol=1e-5,
        atol=1e-6,
    )


def test_plain_by_hand():
    actual = importance.plain(jnp.log(jnp.asarray(WEIGHTS)), all_held(2))
    np.testing.assert_allclose(actual, [[4 / 5, 1 / 3], [1 / 5, 2 / 3]], rtol=1e-6)


def test_self_normalised_by_hand():
    # 24/15 : 10/15 and 6/15 : 20/15
    actual = importance.self_normalised(jnp.log(jnp.asarray(WEIGHTS)), all_held(2))
    expected = [[24 / 34, 10 / 34], [6 / 26, 20 / 26]]
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


def test_deterministic_by_hand():
    actual = importance.deterministic(
        jnp.array([0, 1]), jnp.array([0, 1, 0, 1]), jnp.array([True, True, True, False])
    )
    np.testing.assert_allclose(actual, [[1 / 2, 0, 1 / 2, 0], [0, 1, 0, 0]])


def test_off_by_hand():
    actual = importance.uniform(2, jnp.array([True, True, False, True]))
    np.testing.assert_allclose(actual, 2 * [[1 / 3, 1 / 3, 0, 1 / 3]], rtol=1e-6)


def test_effective_sample_size_by_hand():
    weights = jnp.array(
        [
            [24 / 34, 10 / 34],  # 34^2 / (24^2 + 10^2)
            [1.0, 0.0],
            [0.2, 0.2],  # whatever their sum
            [0.0, 0.0],
            [jnp.nan, jnp.nan],  # a deterministic row without a demonstration
        ]
    )
    np.testing.assert_allclose(
        importance.effective_sample_size(weights),
        [1156 / 676, 1.0, 2.0, 0.0, 0.0],
        rtol=1e-6,
    )


@pytest.mark.parametrize("estimate", importance.ESTIMATORS.values())
def test_masked_demonstrations_get_nothing_and_change_nothing(estimate):
    padded = np.concatenate([np.log(PROBABILITIES), [[50.0], [np.nan]]], axis=1)
    own = jnp.asarray(padded)[jnp.array([0, 1, -1])]
    mask = jnp.array([True, True, False])
    weights = importance.log_importance_weights(jnp.asarray(padded), own, mask)
    expected = estimate(jnp.log(jnp.asarray(WEIGHTS)), all_held(2))
    actual = estimate(weights, mask)
    np.testing.assert_allclose(actual[:, :2], expected, rtol=1e-5)
    np.testing.assert_array_equal(actual[:, 2], 0.0)


def test_very_unlikely_demonstrations():
    # Only differences matter: -10^4 under the better of two tasks.
    better = np.log(3 / 4), np.log(1 / 4)
    likelihoods = -1e4 + np.array([better, better[::-1]])
    weights = log_weights(likelihoods, [0, 1])
    expected = np.array([[3 / 2, 1 / 2], [1 / 2, 3 / 2]])
    np.testing.assert_allclose(np.exp(weights), expected, rtol=2e-3)
    np.testing.assert_allclose(
        importance.self_normalised(weights, all_held(2)), expected / 2, rtol=2e-3
    )


def test_likelihoods_far_apart():
    # 10^4 nats: each demonstration speaks for its own task alone, with no NaN or Inf.
    weights = log_weights([[0.0, -1e4], [-1e4, 0.0]], [0, 1])
    for estimate in importance.ESTIMATORS.values():
        # (the mixture is half of its own task, so that w = 2, and w / n = 1)
        np.testing.assert_allclose(estimate(weights, all_held(2)), np.eye(2), atol=1e-6)


def test_one_demonstration_carries_all_weight():
    weights = log_weights([[-7.0], [-1e4]], [0])
    np.testing.assert_allclose(weights, [[0.0], [7.0 - 1e4]])
    np.testing.assert_allclose(
        importance.self_normalised(weights, all_held(1)), [[1.0], [1.0]]
    )
    np.testing.assert_allclose(importance.plain(weights, all_held(1)), [[1.0], [0.0]])


def test_a_task_never_demonstrated():
    # Both demonstrations are of task 0; task 2 finds the second four times as likely.
    likelihoods = np.log([[0.5, 0.5], [0.1, 0.1], [0.1, 0.4]])
    weights = log_weights(likelihoods, [0, 0])
    np.testing.assert_allclose(
        importance.self_normalised(weights, all_held(2)),
        [[1 / 2, 1 / 2], [1 / 2, 1 / 2], [1 / 5, 4 / 5]],
        rtol=1e-5,
    )
    np.testing.assert_allclose(
        importance.plain(weights, all_held(2)),
        [[1 / 2, 1 / 2], [1 / 10, 1 / 10], [1 / 10, 4 / 10]],
        rtol=1e-5,
    )
    shared = importance.deterministic(
        jnp.arange(3), jnp.zeros(2, jnp.int32), all_held(2)
    )
    np.testing.assert_allclose(shared[0], [1 / 2, 1 / 2])
    assert np.isnan(shared[1:]).all()
    np.testing.assert_allclose(importance.effective_sample_size(shared), [2, 0, 0])


def test_plain_weights_stay_finite_in_single_precision():
    weights = importance.plain(jnp.array([[0.0, 1e3]]), all_held(2))
    assert np.isfinite(weights**2).all()
    assert weights[0, 0] == 0.5


def numpy_log_likelihoods(params, demos, tasks):
    """The double loop of section 2, for the linear Gaussian policy of unit scale."""
    kernel, bias = (np.asarray(params[name], float) for name in ("kernel", "bias"))
    total = np.zeros((tasks.shape[0], demos.demo_mask.shape[0]))
    for k, task in enumerate(np.asarray(tasks, float)):
        for i in np.flatnonzero(demos.demo_mask):
            for t in np.flatnonzero(demos.step_mask[i]):
                inputs = np.concatenate([demos.observations[i, t], task])
                error = np.asarray(demos.actions[i, t]) - (inputs @ kernel + bias)
                total[k, i] += -0.5 * error @ error - np.log(2 * np.pi)
    return total


def test_trajectory_log_likelihoods_are_sums_over_recorded_steps():
    policy, context = problems.tiny_policy(), problems.tiny_context()
    actual = importance.trajectory_log_likelihoods(
        policy.log_likelihood, context.params, context.demos, context.tasks
    )
    expected = numpy_log_likelihoods(context.params, context.demos, context.tasks)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)
    np.testing.assert_array_equal(actual[:, 4:], 0.0)  # rows not in use


def test_masked_steps_add_nothing():
    policy, context = problems.tiny_policy(), problems.tiny_context()
    demos = context.demos
    unused = ~(demos.step_mask & demos.demo_mask[:, None])[..., None]
    spoiled = demos._replace(
        observations=jnp.where(unused, 1e3, demos.observations),
        actions=jnp.where(unused, jnp.nan, demos.actions),
    )

    @jax.jit
    def total(demos):
        return importance.trajectory_log_likelihoods(
            policy.log_likelihood, context.params, demos, context.tasks
        )

    np.testing.assert_array_equal(total(demos), total(spoiled))


def test_likelihoods_are_clipped_per_trajectory():
    policy, context = problems.tiny_policy(), problems.tiny_context()
    expected = numpy_log_likelihoods(context.params, context.demos, context.tasks)
    low, high = np.quantile(expected[:, :4], [0.3, 0.7])
    actual = importance.trajectory_log_likelihoods(
        policy.log_likelihood,
        context.params,
        context.demos,
        context.tasks,
        (float(low), float(high)),
    )
    np.testing.assert_allclose(actual, np.clip(expected, low, high), rtol=1e-5)


@pytest.mark.parametrize("estimate", importance.ESTIMATORS.values())
def test_gradients_through_masked_entries_are_finite(estimate):
    policy, context = problems.tiny_policy(), problems.tiny_context()
    demos = context.demos

    @jax.jit
    @jax.grad
    def gradient(tasks):
        total = importance.trajectory_log_likelihoods(
            policy.log_likelihood, context.params, demos, tasks
        )
        own = total[demos.task_ids]
        weights = importance.log_importance_weights(total, own, demos.demo_mask)
        return estimate(weights, demos.demo_mask)[0, 1]

    actual = np.asarray(gradient(context.tasks))
    assert np.isfinite(actual).all()
    assert np.abs(actual).max() > 0
