"""Integrator suite: geometry by hand, determinism, continuous tasks, bad input."""

import jax
import numpy as np
import pytest

from amf_jax import errors, validation
from experiments.suites import integrator


def act_as_expert(observations, task_ids):
    return integrator.expert(observations, integrator.TASKS[task_ids])


def test_expert_return_is_minus_two():
    # 0.2 closer each step, counted after the step: -(0.8 + 0.6 + 0.4 + 0.2 + 0).
    result = integrator.make().evaluate(act_as_expert, [0], 20)
    assert result["success"] is None
    assert result["return"] == pytest.approx(-2.0, abs=1e-6)


def test_standing_still_returns_minus_five():
    result = integrator.make().evaluate(lambda s, c: np.zeros_like(s), [0], 1)
    assert result["return"] == pytest.approx(-5.0, abs=1e-6)


def test_rollout_integrates_velocities_and_ends_at_the_goals():
    positions, rewards = integrator.rollout(act_as_expert)
    np.testing.assert_array_equal(positions[0], 0.0)
    np.testing.assert_allclose(positions[2], 0.4 * integrator.TASKS, atol=1e-6)
    np.testing.assert_allclose(positions[5], integrator.TASKS, atol=1e-6)
    np.testing.assert_allclose(rewards[:, 7], [-0.8, -0.6, -0.4, -0.2, 0.0], atol=1e-6)


def test_expert_stops_at_the_goal():
    near, there = np.array([[0.9, 0.0], [1.0, 0.0]])
    np.testing.assert_allclose(integrator.expert(near, np.array([1.0, 0.0])), [0.1, 0])
    np.testing.assert_array_equal(integrator.expert(there, there), [0.0, 0.0])


def test_tasks_are_equally_spaced():
    suite = integrator.make()
    np.testing.assert_allclose(suite.tasks[0], [1.0, 0.0], atol=1e-7)
    np.testing.assert_allclose(suite.tasks[1], [np.sqrt(0.75), 0.5], atol=1e-7)
    np.testing.assert_allclose(suite.tasks[3], [0.0, 1.0], atol=1e-7)
    assert suite.task_names[:4] == ("0°", "30°", "60°", "90°")
    np.testing.assert_allclose(suite.tasks.sum(axis=0), 0.0, atol=1e-6)


def test_demonstrations_are_noisy_but_consistent():
    demos = integrator.demonstrate([1, 2], 3, 200)
    validation.validate(demos, observation_size=2, action_size=2, task_size=2)
    observations, actions = np.asarray(demos.observations), np.asarray(demos.actions)
    # The recorded action is the executed one: it takes each state to the next.
    np.testing.assert_allclose(
        observations[:, 1:], observations[:, :-1] + actions[:, :-1], atol=1e-6
    )
    noise = actions - integrator.expert(observations, integrator.TASKS[3])
    # 2000 draws: the standard error of a standard deviation is 0.05 / sqrt(4000).
    assert noise.std() == pytest.approx(0.05, abs=4 * 0.05 / np.sqrt(4000))
    assert abs(noise.mean()) < 4 * 0.05 / np.sqrt(2000)
    steps = noise.reshape(200, 10)
    correlations = np.corrcoef(steps.T) - np.eye(10)
    assert np.abs(correlations).max() < 0.35  # i.i.d.: 5 / sqrt(200)


def test_same_entropy_same_demonstrations():
    first = integrator.demonstrate([4, 0], 2, 3)
    more = integrator.demonstrate([4, 0], 2, 5)
    other = integrator.demonstrate([4, 1], 2, 3)
    np.testing.assert_array_equal(first.actions, more.actions[:3])
    assert not np.allclose(first.actions, other.actions)
    assert not np.allclose(first.actions[0], first.actions[1])


def test_a_task_vector_stands_for_any_goal():
    by_index = integrator.demonstrate([5], 4, 2)
    by_vector = integrator.demonstrate([5], integrator.TASKS[4], 2)
    np.testing.assert_array_equal(by_index.actions, by_vector.actions)
    np.testing.assert_array_equal(by_index.task_ids, [4, 4])
    np.testing.assert_array_equal(by_vector.task_ids, [-1, -1])
    np.testing.assert_allclose(by_vector.tasks[1], integrator.TASKS[4], atol=1e-7)


def test_sampled_tasks_cover_the_circle():
    tasks = np.asarray(
        jax.jit(integrator.sample_tasks, static_argnums=1)(jax.random.key(0), 4000)
    )
    np.testing.assert_allclose(np.linalg.norm(tasks, axis=1), 1.0, atol=1e-6)
    quadrant = 2 * (tasks[:, 0] > 0) + (tasks[:, 1] > 0)
    counts = np.bincount(quadrant, minlength=4)
    # Binomial(4000, 1/4): standard deviation 27.
    assert np.abs(counts - 1000).max() < 5 * 27.4


def test_points_of_the_bounding_box_are_moved_to_the_nearest_goal():
    points = np.float32([[0.3, 0.0], [-1.0, -1.0], [0.6, 0.8]])
    nearest = integrator.onto_circle(points)
    half = np.sqrt(0.5)
    expected = [[1.0, 0.0], [-half, -half], [0.6, 0.8]]
    np.testing.assert_allclose(nearest, expected, atol=1e-6)
    np.testing.assert_array_equal(integrator.SPACE.lower, [-1.0, -1.0])
    np.testing.assert_array_equal(integrator.SPACE.upper, [1.0, 1.0])


def test_expert_states_lie_on_the_rays():
    observations, task_ids = integrator.expert_states()
    np.testing.assert_array_equal(task_ids[:6], [0, 0, 0, 0, 0, 1])
    progress = np.tile([0.0, 0.2, 0.4, 0.6, 0.8], 12)[:, None]
    np.testing.assert_allclose(
        observations, progress * integrator.TASKS[task_ids], atol=1e-6
    )


@pytest.mark.parametrize(
    "k, counts", [(1, [12]), (5, [3, 3, 2, 2, 2]), (6, [2] * 6), (12, [1] * 12)]
)
def test_pretraining_takes_turns(k, counts):
    np.testing.assert_array_equal(np.bincount(integrator.pretraining_ids(k)), counts)


@pytest.mark.parametrize("k", [0, 13])
def test_pretraining_needs_a_possible_number_of_tasks(k):
    with pytest.raises(errors.InvalidArgumentError, match="between 1 and 12"):
        integrator.pretraining_ids(k)


@pytest.mark.parametrize(
    "task", [-1, 12, 0.5, True, "0", [1.0, 0.0, 0.0], [np.nan, 0.0]]
)
def test_impossible_tasks_are_refused(task):
    with pytest.raises(errors.InvalidArgumentError, match="task must be"):
        integrator.demonstrate([0], task, 1)


@pytest.mark.parametrize("count", [0, 1.5, True, 2**31])
def test_counts_must_be_positive_whole_numbers(count):
    with pytest.raises(errors.InvalidArgumentError, match="count must be a whole"):
        integrator.demonstrate([0], 0, count)
    with pytest.raises(errors.InvalidArgumentError, match="attempts must be a whole"):
        integrator.evaluate(act_as_expert, [0], count)
