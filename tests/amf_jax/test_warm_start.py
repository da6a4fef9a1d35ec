"""The warm start: every task once, then the selector it wraps."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amf_jax import errors, selectors
from amf_jax.selectors import Choice, Selector
from tests import problems


class Calls(NamedTuple):
    count: jax.Array


class Told(NamedTuple):
    scores: jax.Array


def counting_selector():
    """Always asks for task 1, and counts how often it was asked."""

    def init(context, history=None):
        return Calls(jnp.int32(0 if history is None else 100))

    def select(key, state, context):
        info = Told(jax.random.uniform(key, (3,)))
        choice = Choice(jnp.int32(1), context.tasks[1])
        return choice, Calls(state.count + 1), info

    return Selector(init, select)


def run(selector, context, rounds, history=None):
    state, outputs = selector.init(context, history), []
    select = jax.jit(selector.select)
    for index in range(rounds):
        choice, state, info = select(jax.random.key(index), state, context)
        outputs.append((choice, state, info))
    return outputs


def test_tasks_take_turns_and_then_the_selector_decides():
    context = problems.tiny_context()
    outputs = run(selectors.warm_start(counting_selector(), 5), context, 7)
    ids = [int(choice.task_id) for choice, _, _ in outputs]
    assert ids == [0, 1, 2, 0, 1, 1, 1]
    for choice, _, _ in outputs:
        np.testing.assert_array_equal(choice.task, context.tasks[choice.task_id])


def test_the_selector_is_untouched_until_it_decides():
    outputs = run(
        selectors.warm_start(counting_selector(), 2), problems.tiny_context(), 4
    )
    assert [int(state.inner.count) for _, state, _ in outputs] == [0, 0, 1, 2]
    for _, _, info in outputs[:2]:
        assert info.scheduled and selectors.diagnostics(info) is None
    inner = counting_selector()
    for index in (2, 3):
        _, _, expected = inner.select(
            jax.random.key(index), Calls(0), problems.tiny_context()
        )
        told = selectors.diagnostics(outputs[index][2])
        np.testing.assert_array_equal(told.scores, expected.scores)


def test_history_reaches_the_selector():
    context = problems.tiny_context()
    outputs = run(
        selectors.warm_start(counting_selector(), 0), context, 1, context.demos
    )
    assert int(outputs[0][1].inner.count) == 101


def test_continuous_tasks_are_drawn():
    def on_circle(key, count):
        angles = jax.random.uniform(key, (count,), maxval=2 * jnp.pi)
        return jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=-1)

    context = problems.tiny_context()
    selector = selectors.warm_start(counting_selector(), 3, on_circle)
    outputs = run(selector, context, 4)
    drawn = np.array([choice.task for choice, _, _ in outputs[:3]])
    assert [int(choice.task_id) for choice, _, _ in outputs] == [-1, -1, -1, 1]
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=1), 1.0, 1e-6)
    assert len(np.unique(drawn.round(5), axis=0)) == 3


def test_a_negative_length_is_refused():
    with pytest.raises(errors.InvalidArgumentError, match="rounds"):
        selectors.warm_start(counting_selector(), -1)
