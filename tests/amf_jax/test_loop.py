"""The loop as a pure function, against the driver."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amf_jax import (
    ActiveFineTuner,
    demonstrations,
    errors,
    loop,
    selectors,
)
from amf_jax.learners import Learner, LearnerState
from amf_jax.windows import Window
from tests import problems

TASKS = problems.tiny_tasks()
ROUNDS = 6
PRETRAINING = problems.tiny_demos(7, (0, 1, 0), tasks=TASKS)
BLANK = jax.tree.map(
    jnp.zeros_like, problems.tiny_demos(0, (0,), tasks=TASKS, capacity=ROUNDS)
)
STATES = np.linspace(-1.0, 1.0, 9, dtype=np.float32).reshape(3, 3)


def expert(task, index, count=1):
    return problems.tiny_demos(100 * index + task, (task,) * count, tasks=TASKS)


#: What the expert does in every round at every task, `[R, C, ...]`.
KNOWN = jax.tree.map(
    lambda *leaves: jnp.stack(leaves),
    *(
        demonstrations.stack([expert(task, index) for task in range(3)])
        for index in range(ROUNDS + 1)
    ),
)


def demonstrate(choice, index, demos):
    return jax.tree.map(lambda leaf: leaf[index, choice.task_id][None], KNOWN)


def evaluate(act, state, index):
    total = act(0, jnp.asarray(STATES), jnp.arange(3)).sum()
    return {"return": total, "success": jnp.array([1.0, 0.5, 0.0])}


ENVIRONMENT = loop.Environment(demonstrate, evaluate)


def run(key, **options):
    learner, selector = problems.tiny_parts()
    arguments = dict(rounds=ROUNDS, pretraining=PRETRAINING) | options
    return loop.run(
        key, lambda demos: learner, selector, ENVIRONMENT, TASKS, BLANK, **arguments
    )


@functools.cache
def straight():
    return jax.jit(run)(jax.random.key(0))


def test_a_run_is_that_of_the_driver():
    learner, selector = problems.tiny_parts()
    tuner = ActiveFineTuner(
        learner=learner,
        selector=selector,
        tasks=TASKS,
        pretraining=PRETRAINING,
        demonstrate=expert,
        evaluate=lambda act, state, index: {
            "return": float(act(STATES, np.arange(3)).sum()),
            "success": [1.0, 0.5, 0.0],
        },
        rounds=ROUNDS,
        seed=0,
    )
    first, *records = tuner.run()
    found = straight()
    assert found.choices.task_id[:, 0].tolist() == [r["task"] for r in records]
    returns = [record["return"] for record in (first, *records)]
    np.testing.assert_allclose(found.metrics["return"], returns, rtol=1e-3, atol=1e-4)
    alphas = [record["mixing"] for record in (first, *records)]
    np.testing.assert_allclose(found.mixing, alphas, rtol=1e-3, atol=1e-4)
    for index, record in enumerate(records[2:], 2):  # behind the warm start
        scores = found.infos.inner.scores[index, 0]
        np.testing.assert_allclose(scores, record["scores"], rtol=1e-3, atol=1e-5)
    np.testing.assert_array_equal(found.demos.actions, tuner.demos.actions)


def test_stages_change_no_choice():
    staged = jax.jit(lambda key: run(key, capacities=(2, 4, 6)))(jax.random.key(0))
    expected = straight()
    np.testing.assert_array_equal(staged.choices.task_id, expected.choices.task_id)
    for name, values in expected.metrics.items():
        np.testing.assert_allclose(staged.metrics[name], values, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(staged.demos.actions, expected.demos.actions)


def test_seeds_are_mapped():
    keys = jax.vmap(jax.random.key)(jnp.arange(2))
    mapped = jax.jit(jax.vmap(run))(keys)
    alone = straight()
    np.testing.assert_array_equal(mapped.choices.task_id[0], alone.choices.task_id)
    np.testing.assert_allclose(
        mapped.metrics["return"][0], alone.metrics["return"], rtol=1e-3, atol=1e-4
    )
    assert not np.allclose(mapped.metrics["return"][0], mapped.metrics["return"][1])


@pytest.mark.parametrize("capacities", [(), (4, 2, 6), (2, 4), (2, 8)])
def test_capacities_that_do_not_fit_are_refused(capacities):
    with pytest.raises(errors.InvalidArgumentError, match="budget of 6"):
        run(jax.random.key(0), capacities=capacities)


def test_a_buffer_without_room_is_refused():
    with pytest.raises(errors.CapacityError, match="capacity >= 7"):
        run(jax.random.key(0), rounds=7)


def test_capacities_double():
    assert loop.doubling(10, 35) == (10, 20, 35)
    assert loop.doubling(8, 8) == (8,)


def test_an_expert_that_delivers_more_than_asked_is_refused():
    # One more row would be written over by the demonstration of the next round.
    def twice(choice, index, demos):
        one = demonstrate(choice, index, demos)
        return demonstrations.stack([one, one])

    learner, selector = problems.tiny_parts()
    with pytest.raises(
        errors.DemonstrationError, match="returned 2 rows; .* asked for"
    ):
        loop.run(
            jax.random.key(0),
            lambda demos: learner,
            selector,
            loop.Environment(twice),
            TASKS,
            BLANK,
            rounds=2,
            pretraining=PRETRAINING,
        )


def test_whole_tasks_are_those_of_floats():
    learner, _ = problems.tiny_parts("uniform")

    def types(tasks, task_weights):
        return jax.eval_shape(
            lambda key: loop.run(
                key,
                lambda demos: learner,
                selectors.uniform(),
                ENVIRONMENT,
                tasks,
                BLANK,
                rounds=2,
                pretraining=PRETRAINING,
                task_weights=task_weights,
            ),
            jax.random.key(0),
        )

    whole = types(jnp.eye(3, 2, dtype=jnp.int32), [0.2, 0.3, 0.5])
    floats = types(jnp.eye(3, 2), jnp.array([0.2, 0.3, 0.5]))
    assert whole == floats
    assert whole.choices.task.dtype == jnp.float32


@pytest.mark.parametrize("name", ["rounds", "batch", "demos_per_round"])
def test_numbers_out_of_range_are_refused(name):
    with pytest.raises(errors.InvalidArgumentError, match=f"{name} must be"):
        run(jax.random.key(0), **{name: 0})
    with pytest.raises(errors.InvalidArgumentError, match="first must be"):
        loop.doubling(0, 10)


def nothing(*_):
    raise AssertionError("work was begun")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            dict(
                pretraining=PRETRAINING._replace(actions=PRETRAINING.actions * np.nan)
            ),
            "actions is NaN",
        ),
        (
            dict(pretraining=PRETRAINING._replace(task_ids=PRETRAINING.task_ids + 99)),
            "has task id 99",
        ),
        (dict(demos=BLANK._replace(step_mask=None)), "step_mask must be an array"),
        (dict(demos=BLANK._asdict()), "must be amf_jax.Demonstrations"),
        (dict(tasks="abc"), "tasks must be an array"),
        (dict(tasks=[[1.0], [1.0, 2.0]]), "tasks must be an array"),
        (dict(task_weights=[0.5, 0.6, 0.7]), "task_weights must sum to 1"),
        (dict(capacities=("a",)), "each of capacities must be a whole number"),
        (dict(capacities=(2.0, 6.0)), "each of capacities must be a whole number"),
    ],
)
def test_what_the_driver_refuses_is_refused_before_any_work(options, message):
    options = dict(tasks=TASKS, demos=BLANK, rounds=ROUNDS) | options
    with pytest.raises(errors.AmfError, match=message):
        # Not by annotations, which tests check in addition.
        inspect.unwrap(loop.run)(
            jax.random.key(0), nothing, selectors.uniform(), ENVIRONMENT, **options
        )


def test_episodes_of_plans_are_acted_by_step():
    """A policy that plans to go where it is, and a tenth further each step."""
    key, window = jax.random.key(0), Window(action_chunk=3, executed_steps=2)

    def act(state, key, observations, tasks, task_ids):
        return observations[:, None] + 0.1 * jnp.arange(3.0)[None, :, None]

    def init(key, demos):
        return LearnerState(jnp.zeros(1), jnp.zeros(1), jnp.zeros(1), None, ())

    def update(key, state, demos):
        return state, {}

    learner = Learner(init, update, act, window)

    def evaluate(act, state, index):
        with pytest.raises(errors.InvalidArgumentError, match="held = act.reset"):
            act(0, jnp.asarray(STATES), jnp.arange(3))
        held, done = act.reset(0, jnp.asarray(STATES), jnp.arange(3)), []
        for call in range(3):
            seen = jnp.asarray(STATES) + call
            actions, held = act.step(held, call, seen, jnp.arange(3))
            done.append(actions)
        return {"done": jnp.stack(done)}

    result = loop.run(
        key,
        lambda demos: learner,
        selectors.round_robin(),
        loop.Environment(demonstrate, evaluate),
        TASKS,
        BLANK,
        rounds=ROUNDS,
    )
    expected = STATES + np.array([0.0, 0.1, 2.0])[:, None, None]
    for done in result.metrics["done"]:  # asked at the first and the third step
        np.testing.assert_allclose(done, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        (None, "by name, as a mapping that may be empty; got None"),
        ({"success": 1.0}, "one number per task .* got 1.0"),
        ({"success": jnp.ones((3, 1))}, r"one number per task .* got \[\["),
    ],
)
def test_an_evaluation_of_another_form_is_refused(metrics, message):
    learner, selector = problems.tiny_parts("uniform")

    def traced(key):
        environment = loop.Environment(demonstrate, lambda *_: metrics)
        return loop.run(
            key,
            lambda demos: learner,
            selector,
            environment,
            TASKS,
            BLANK,
            rounds=2,
            pretraining=PRETRAINING,
        )

    with pytest.raises(errors.InvalidArgumentError, match=message):
        jax.eval_shape(traced, jax.random.key(0))
