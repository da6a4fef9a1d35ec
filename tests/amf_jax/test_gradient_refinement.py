"""Gradient refinement: its climbs on objectives whose tops are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amf_jax import errors
from amf_jax.candidates import gradient_refinement, random_shooting, value_and_slope
from tests.amf_jax import task_spaces

TASKS = jnp.zeros((1, 2))


def refine(objective, space=task_spaces.BOX, seed=0, budget=60, **options):
    """What a refinement returns, and the random candidates that it starts from."""
    refined, steps = options.get("refined", 2), options.get("steps", 4)
    starts = budget - refined * (3 * steps + 1)
    key, same = jax.random.key(seed), jax.random.key(seed)
    found, scores = gradient_refinement(space, budget, **options)(key, objective, TASKS)
    start, before = random_shooting(space.sample, starts)(same, objective, TASKS)
    assert found.tasks.shape == start.tasks.shape
    return (np.asarray(found.tasks), np.asarray(scores)), (
        np.asarray(start.tasks),
        np.asarray(before),
    )


def test_slopes_are_those_of_each_point_in_each_coordinate():
    def cubic(points):
        return points[:, 0] ** 3 * points[:, 1]

    points = jnp.array([[1.0, 2.0], [-1.0, 3.0], [2.0, 0.5]])
    values, slopes = value_and_slope(cubic, points)
    np.testing.assert_allclose(values, [2.0, -3.0, 4.0])
    np.testing.assert_allclose(slopes, [[6.0, 1.0], [9.0, -1.0], [6.0, 8.0]])


def test_slopes_pass_through_loops_whose_end_is_traced():
    def power(points):
        def times(i, product):
            return product * points[:, 0]

        end = jnp.int32(points[0, 0] * 0) + 3
        return jax.lax.fori_loop(0, end, times, jnp.ones(points.shape[0]))

    _, slopes = jax.jit(lambda points: value_and_slope(power, points))(
        jnp.array([[1.0], [2.0]])
    )
    np.testing.assert_allclose(slopes, [[3.0], [12.0]])


def test_a_first_step_is_the_learning_rate_in_each_coordinate():
    # Adam's first step has the size of its rate; the box is 2 wide and 4 high.
    (tasks, _), (start, before) = refine(
        task_spaces.near([30.0, -40.0]), refined=1, steps=1, learning_rate=0.05
    )
    best = np.argmax(before)
    expected = np.clip(start[best] + [0.1, -0.2], [-1.0, 0.0], [1.0, 4.0])
    np.testing.assert_allclose(tasks[best], expected, rtol=1e-5)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("objective", [task_spaces.rough, task_spaces.near([0.2, 3.0])])
def test_the_best_few_climb_and_none_falls_below_its_start(objective, seed):
    (tasks, scores), (start, before) = refine(objective, seed=seed)
    moved = (tasks != start).any(axis=1)
    best = np.argsort(before)[-2:]
    assert not np.delete(moved, best).any()
    np.testing.assert_allclose(scores[~moved], before[~moved], 1e-6)
    assert (scores[moved] > before[moved]).all()


def test_a_smooth_top_is_nearly_reached():
    goal = [0.2, 3.0]
    (_, scores), (_, before) = refine(
        task_spaces.near(goal), steps=8, budget=120, learning_rate=0.05
    )
    assert scores.max() > 0.1 * before.max()  # both negative: ten times nearer


def test_a_climb_ends_at_the_bound_it_runs_into():
    (tasks, scores), _ = refine(lambda batch: batch.tasks[:, 0], learning_rate=1.0)
    np.testing.assert_allclose(tasks[np.argmax(scores), 0], 1.0)


def test_a_climb_follows_a_curved_space():
    angle = 1.0
    goal = np.array([np.cos(angle), np.sin(angle)], np.float32)
    (tasks, scores), (_, before) = refine(
        lambda batch: batch.tasks @ goal, task_spaces.CIRCLE, budget=200, steps=8
    )
    best = tasks[np.argmax(scores)]
    assert scores.max() > before.max()
    np.testing.assert_allclose(np.arctan2(best[1], best[0]), angle, atol=0.005)


def test_values_that_are_not_numbers_are_never_better():
    def cliff(batch):
        x = batch.tasks[:, 0]
        return jnp.where(x > 0.5, jnp.nan, x)

    def left(key, count):
        return jnp.linspace(0.0, 0.5, count)[:, None] * jnp.array([[1.0, 1.0]])

    space = task_spaces.BOX._replace(sample=left)
    (_, scores), (_, before) = refine(cliff, space, learning_rate=0.5)
    np.testing.assert_array_equal(np.sort(scores), np.sort(before))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(refined=0), "refined must be a whole number, at least 1, got 0"),
        (dict(steps=0), "steps must be a whole number, at least 1, got 0"),
        (dict(learning_rate=0.0), "learning_rate must be positive"),
        (dict(learning_rate=float("nan")), "learning_rate must be positive"),
        # two climbs of 4 steps in 2 dimensions are 26 evaluations, and two starts
        (
            dict(refined=2, budget=27),
            "budget must be a whole number, at least 28, got 27",
        ),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(errors.InvalidArgumentError, match=message):
        gradient_refinement(task_spaces.BOX, **options)
