"""Cross-entropy search: how a generation follows from the one before."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amf_jax import errors
from amf_jax.candidates import cross_entropy
from tests.amf_jax import task_spaces

TASKS = jnp.zeros((1, 2))
FIRST = np.array([[0.0, 1.0], [0.2, 3.0], [0.9, 0.1], [0.8, 3.9]], np.float32)


def given(key, count):
    """A first generation of equal parts of the four tasks above."""
    return jnp.asarray(np.repeat(FIRST, count // 4, axis=0))


def search(objective, space, budget, **options):
    found, scores = cross_entropy(space, budget, **options)(
        jax.random.key(0), objective, TASKS
    )
    return np.asarray(found.tasks), np.asarray(scores)


def test_a_generation_is_drawn_from_the_elites_mean_and_deviation():
    space = task_spaces.BOX._replace(sample=given)
    tasks, _ = search(
        task_spaces.near([0.1, 2.0]), space, 4000, generations=2, elite_share=0.5
    )
    np.testing.assert_array_equal(tasks[:2000:500], FIRST)
    # The elite are the first two tasks: means 0.1 and 2, deviations 0.1 and 1.
    second = tasks[2000:]
    inside = second[(second[:, 1] > 0) & (second[:, 1] < 4)]
    np.testing.assert_allclose(second[:, 0].mean(), 0.1, atol=0.01)
    np.testing.assert_allclose(second[:, 0].std(), 0.1, rtol=0.06)
    np.testing.assert_allclose(np.median(second[:, 1]), 2.0, atol=0.1)
    np.testing.assert_allclose(inside[:, 1].std(), 0.88, rtol=0.06)  # cut at 2 sigma
    assert abs(np.corrcoef(second.T)[0, 1]) < 0.1


def test_deviations_have_a_floor_in_shares_of_the_box():
    space = task_spaces.BOX._replace(sample=given)
    tasks, _ = search(
        task_spaces.near([0.0, 1.0]),
        space,
        2000,
        generations=2,
        elite_share=0.25,
        least_deviation=0.05,
    )
    # The elite are copies of one task; the box is 2 wide and 4 high.
    np.testing.assert_allclose(tasks[1000:].mean(axis=0), [0.0, 1.0], atol=0.03)
    np.testing.assert_allclose(tasks[1000:].std(axis=0), [0.1, 0.2], rtol=0.08)
    still, _ = search(
        task_spaces.near([0.0, 1.0]), space, 16, generations=2, least_deviation=0.0
    )
    np.testing.assert_array_equal(still[8:], np.tile(FIRST[:1], (8, 1)))


def test_generations_close_in_on_the_top():
    goal = np.array([0.2, 3.0])
    tasks, scores = search(task_spaces.near(goal), task_spaces.BOX, 100, generations=4)
    generations = tasks.reshape(4, 25, 2)
    distances = np.linalg.norm(generations - goal, axis=-1).mean(axis=1)
    assert (np.diff(distances) < 0).all()
    assert distances[-1] < 0.2 * distances[0]
    assert np.argmax(scores) >= 25


def test_what_cannot_be_shared_out_goes_to_the_first_generation():
    seen = []

    def objective(batch):
        seen.append(batch.tasks.shape[0])
        return batch.tasks[:, 0]

    tasks, scores = search(objective, task_spaces.BOX, 31, generations=3)
    assert set(seen) == {11, 10}
    assert tasks.shape == (31, 2)
    np.testing.assert_allclose(scores, tasks[:, 0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(generations=1), "generations must be a whole number, at least 2, got 1"),
        (
            dict(budget=7, generations=4),
            "budget must be a whole number, at least 8, got 7",
        ),
        (dict(elite_share=0.0), "elite_share must be above 0 and at most 1"),
        (dict(elite_share=1.5), "elite_share must be above 0 and at most 1"),
        (dict(least_deviation=-0.1), "least_deviation must be at least 0"),
        (dict(least_deviation=float("inf")), "least_deviation must be at least 0"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(errors.InvalidArgumentError, match=message):
        cross_entropy(task_spaces.BOX, **options)
