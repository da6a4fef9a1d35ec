"""A buffer that doubles when it is full: same choices, few compilations."""

import jax
import numpy as np
import pytest

from amf_jax import demonstrations, embeddings, selectors
from tests import problems

POLICY = problems.tiny_policy()
EMBEDDING = embeddings.last_layer_gradient(POLICY.last_layer)
ROUNDS = 8


def collected(selector, capacity):
    """Scores of every round, and how often the selection was compiled."""
    full = problems.tiny_context(task_ids=(0, 1, 0, 2, 1, 2, 0, 1), capacity=ROUNDS)
    rows = [jax.tree.map(lambda x, i=i: x[i : i + 1], full.demos) for i in range(8)]
    traces = []

    @jax.jit
    def select(key, state, context):
        traces.append(context)
        return selector.select(key, state, context)

    demos = demonstrations.reserve(rows[0], capacity - 1)
    state = selector.init(full._replace(demos=demos))
    scores = []
    for index in range(ROUNDS):
        context = full._replace(demos=demos)
        _, state, info = select(jax.random.key(index), state, context)
        scores.append(np.asarray(info.scores))
        if index + 1 < ROUNDS:
            larger = demonstrations.reserve(demos, 1)
            if larger is not demos:
                blank = selector.init(full._replace(demos=larger))
                state = selectors.carry_over(state, blank)
            demos = demonstrations.append(larger, rows[index + 1])
    return np.array(scores), len(traces)


@pytest.mark.parametrize(
    "space", [pytest.param("function", marks=pytest.mark.slow), "weight"]
)
def test_a_buffer_that_doubles_changes_no_score(space):
    selector = problems.amf(EMBEDDING, POLICY.log_likelihood, space=space)
    grown, compilations = collected(selector, capacity=1)
    at_once, once = collected(selector, capacity=ROUNDS)
    np.testing.assert_allclose(grown, at_once, rtol=1e-4)
    assert (compilations, once) == (4, 1)  # capacities 1, 2, 4 and 8


def test_capacities_double_until_there_is_room():
    held = demonstrations.empty(3, 2, 1, 1, 1)
    assert demonstrations.reserve(held, 3) is held
    assert demonstrations.reserve(held, 13).demo_mask.shape == (24,)


def test_what_is_held_stays_in_front():
    demos = problems.tiny_context(task_ids=(0, 1), capacity=2).demos
    larger = demonstrations.reserve(demos, 1)
    assert larger.demo_mask.tolist() == [True, True, False, False]
    for old, new in zip(demos, larger, strict=True):
        np.testing.assert_array_equal(new[:2], old)
