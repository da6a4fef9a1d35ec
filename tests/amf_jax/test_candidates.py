"""Candidate optimisers: which tasks they value, and what all of them promise."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amf_jax import candidates, embeddings, errors, selectors
from tests import problems
from tests.amf_jax import task_spaces

TASKS = jnp.array([[3.0, 0.0], [0.0, 4.0], [1.0, 1.0]])

#: Budgets that do not share out evenly.
SEARCHES = {
    "random_shooting": dict(budget=31),
    "gradient_refinement": dict(budget=31, refined=2, steps=3),
    "cross_entropy": dict(budget=31, generations=3),
}
every_search = pytest.mark.parametrize("name", SEARCHES)
every_space = pytest.mark.parametrize(
    "space", [task_spaces.BOX, task_spaces.CIRCLE], ids=["box", "circle"]
)


def norm(batch):
    return jnp.linalg.norm(batch.tasks, axis=1)


def assert_close(found, expected):
    np.testing.assert_allclose(found, expected, 1e-5, 1e-5)


def search(name, space=task_spaces.BOX):
    return candidates.make(name, space, **SEARCHES[name])


def test_enumeration_values_every_task_in_order():
    found, scores = candidates.enumerate_tasks()(jax.random.key(0), norm, TASKS)
    np.testing.assert_array_equal(found.task_ids, [0, 1, 2])
    np.testing.assert_array_equal(found.tasks, TASKS)
    np.testing.assert_allclose(scores, [3.0, 4.0, 2.0**0.5], 1e-6)


def test_random_shooting_values_fresh_draws():
    optimise = candidates.random_shooting(task_spaces.sample_box, 7)
    found, scores = optimise(jax.random.key(0), norm, TASKS)
    other, _ = optimise(jax.random.key(1), norm, TASKS)
    assert found.tasks.shape == (7, 2)
    np.testing.assert_allclose(scores, np.linalg.norm(found.tasks, axis=1), 1e-6)
    assert not np.isin(found.tasks, other.tasks).any()


def test_drawn_tasks_take_the_dtype_of_the_evaluation_tasks():
    optimise = candidates.random_shooting(lambda key, count: jnp.ones((count, 2), int))
    found, _ = optimise(jax.random.key(0), norm, TASKS)
    assert found.tasks.dtype == TASKS.dtype
    assert found.tasks.shape[0] == 100


@every_space
@every_search
def test_candidates_are_tasks_of_the_space_valued_as_they_are(name, space):
    found, scores = search(name, space)(jax.random.key(0), task_spaces.rough, TASKS)
    np.testing.assert_array_equal(found.task_ids, -1)
    tasks = np.asarray(found.tasks)
    np.testing.assert_allclose(scores, np.sin(40 * tasks).sum(axis=1), atol=1e-4)
    assert len(np.unique(tasks, axis=0)) == len(tasks)
    assert (tasks >= space.lower - 1e-6).all()
    assert (tasks <= space.upper + 1e-6).all()
    if space is task_spaces.CIRCLE:
        np.testing.assert_allclose(np.linalg.norm(tasks, axis=1), 1.0, rtol=1e-6)


@every_search
def test_a_search_costs_its_budget(name):
    cost = 0

    def counted(batch):
        nonlocal cost
        derived = isinstance(batch.tasks, jax.core.Tracer)  # of both coordinates
        cost += batch.tasks.shape[0] * (3 if derived else 1)
        return norm(batch)

    with jax.disable_jit():
        search(name)(jax.random.key(0), counted, TASKS)
    assert cost == 31


@every_search
def test_a_search_is_pure_and_can_be_jitted_and_vmapped(name):
    optimise, traces = search(name), []

    def run(key):
        traces.append(1)
        return optimise(key, task_spaces.near([0.3, 1.0]), TASKS)

    def keys():
        return jax.random.split(jax.random.key(0), 2)

    jitted = jax.jit(run)
    one, other = map(jitted, keys())
    assert len(traces) == 1
    assert not np.isin(one[0].tasks, other[0].tasks).any()
    both = jax.jit(jax.vmap(run))(keys())
    for index, expected in enumerate((one, other)):
        found = jax.tree.map(lambda leaf, index=index: leaf[index], both)
        jax.tree.map(assert_close, found, expected)
    jax.tree.map(assert_close, one, run(keys()[0]))


@every_search
def test_a_search_keeps_double_precision(name):
    with jax.enable_x64(True):
        found, scores = search(name)(jax.random.key(0), norm, TASKS.astype(float))
        assert found.tasks.dtype == scores.dtype == jnp.float64


@every_search
def test_a_selector_takes_the_best_of_what_a_search_returns(name):
    policy = problems.tiny_policy()
    embedding = embeddings.last_layer_gradient(policy.last_layer)
    selector = problems.amf(
        embedding, policy.log_likelihood, optimiser=search(name), microbatch=8
    )
    traces = []

    @jax.jit
    def select(key, state, context):
        traces.append(1)
        return selector.select(key, state, context)

    context = problems.tiny_context()
    state = selector.init(context)
    for count in (3, 4):
        mask = context.demos.demo_mask & (jnp.arange(6) < count)
        now = context._replace(demos=context.demos._replace(demo_mask=mask))
        choice, state, info = select(jax.random.key(count), state, now)
        selectors.check_choice(choice, info)
        assert choice.task_id == -1
        best = info.candidates[np.argmax(info.scores)]
        np.testing.assert_array_equal(choice.task, best)
    assert len(traces) == 1


def test_registered_options_are_those_of_the_functions():
    assert {*SEARCHES, "enumerate_tasks"} == set(candidates.OPTIMISERS)
    for name, entry in candidates.OPTIMISERS.items():
        taken = [*inspect.signature(getattr(candidates, name)).parameters]
        assert tuple(taken[1 if entry.needs_space else 0 :]) == entry.options


def test_an_optimiser_of_the_evaluation_tasks_needs_no_space():
    found, _ = candidates.make("enumerate_tasks")(jax.random.key(0), norm, TASKS)
    np.testing.assert_array_equal(found.tasks, TASKS)


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("gradient", {}, errors.UnknownNameError, "Did you mean 'gradient_refin"),
        ("cross_entropy", {"elites": 3}, errors.UnknownNameError, "'elite_share'"),
        ("random_shooting", {"steps": 3}, errors.UnknownNameError, "Known: budget"),
        ("enumerate_tasks", {"budget": 3}, errors.UnknownNameError, "option of enum"),
        ("random_shooting", {"budget": 0}, errors.InvalidArgumentError, "budget"),
        ("random_shooting", {"budget": -3}, errors.InvalidArgumentError, "budget"),
    ],
)
def test_what_does_not_exist_or_makes_no_sense_is_refused(
    name, options, error, message
):
    with pytest.raises(error, match=message):
        candidates.make(name, task_spaces.BOX, **options)


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_without_a_space_is_refused(name):
    with pytest.raises(errors.InvalidArgumentError, match=f"'{name}' needs the space"):
        candidates.make(name)


@pytest.mark.parametrize("name", ["gradient_refinement", "cross_entropy"])
@pytest.mark.parametrize(
    ("lower", "upper", "message"),
    [
        (np.zeros(2), np.ones(3), r"shapes \(2,\) and \(3,\)"),
        (0.0, 1.0, "two vectors"),
        (np.zeros(0), np.zeros(0), "two vectors"),
        (np.zeros(2), np.array([1.0, np.inf]), "finite"),
        (np.zeros(2), np.array([1.0, 0.0]), "below upper"),
    ],
)
def test_a_box_that_is_none_is_refused(name, lower, upper, message):
    space = task_spaces.BOX._replace(lower=lower, upper=upper)
    with pytest.raises(errors.InvalidArgumentError, match=message):
        candidates.make(name, space)
