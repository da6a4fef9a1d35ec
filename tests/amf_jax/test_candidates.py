"""Candidate optimisers: which tasks they value."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amf_jax import candidates, errors

TASKS = jnp.array([[3.0, 0.0], [0.0, 4.0], [1.0, 1.0]])


def norm(batch):
    return jnp.linalg.norm(batch.tasks, axis=1)


def test_enumeration_values_every_task_in_order():
    found, scores = candidates.enumerate_tasks()(jax.random.key(0), norm, TASKS)
    np.testing.assert_array_equal(found.task_ids, [0, 1, 2])
    np.testing.assert_array_equal(found.tasks, TASKS)
    np.testing.assert_allclose(scores, [3.0, 4.0, 2.0**0.5], 1e-6)


def test_random_shooting_values_fresh_draws_that_are_no_evaluation_task():
    def sample_tasks(key, count):
        return jax.random.uniform(key, (count, 2))

    optimise = candidates.random_shooting(sample_tasks, 7)
    found, scores = optimise(jax.random.key(0), norm, TASKS)
    other, _ = optimise(jax.random.key(1), norm, TASKS)
    assert found.tasks.shape == (7, 2)
    np.testing.assert_array_equal(found.task_ids, [-1] * 7)
    np.testing.assert_allclose(scores, np.linalg.norm(found.tasks, axis=1), 1e-6)
    assert not np.isin(found.tasks, other.tasks).any()


def test_drawn_tasks_take_the_dtype_of_the_evaluation_tasks():
    optimise = candidates.random_shooting(lambda key, count: jnp.ones((count, 2), int))
    found, _ = optimise(jax.random.key(0), norm, TASKS)
    assert found.tasks.dtype == TASKS.dtype
    assert found.tasks.shape[0] == 100


@pytest.mark.parametrize("budget", [0, -3])
def test_a_budget_below_one_is_refused(budget):
    with pytest.raises(errors.InvalidArgumentError, match="budget"):
        candidates.random_shooting(lambda key, count: None, budget)
