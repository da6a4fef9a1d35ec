"""Rebalancing: the least demonstrated task, counts of pre-training included."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from amf_jax import errors, selectors
from tests import problems


def draw(context, pretraining_counts, draws=300):
    """Tasks asked for under different keys, and the scores."""
    selector = selectors.rebalancing(pretraining_counts)
    state = selector.init(context)
    keys = jax.random.split(jax.random.key(0), draws)
    select = jax.jit(jax.vmap(selector.select, in_axes=(0, None, None)))
    choices, _, info = select(keys, state, context)
    np.testing.assert_array_equal(choices.task, context.tasks[choices.task_id])
    return np.bincount(choices.task_id, minlength=context.tasks.shape[0]), info.scores


@pytest.mark.parametrize(
    ("pretraining_counts", "collected", "expected"),
    [
        ((8, 8, 0), (0, 1), 2),
        ((3, 1, 2), (0,), 1),
        ((0, 3, 2), (0, 0, 0), 2),  # 3, 3, 2
        ((2, 0, 3), (1, 1, 2, 1, 2), 0),  # 2, 3, 5
    ],
)
def test_the_least_demonstrated_task_is_asked_for(
    pretraining_counts, collected, expected
):
    context = problems.tiny_context(task_ids=collected)
    counts, scores = draw(context, pretraining_counts)
    assert counts[expected] == counts.sum()
    totals = np.add(pretraining_counts, np.bincount(collected, minlength=3))
    np.testing.assert_array_equal(scores[0], -totals)


def test_ties_are_broken_evenly():
    context = problems.tiny_context(task_ids=(0, 0))
    counts, _ = draw(context, (1, 2, 2), draws=2000)  # 3, 2, 2
    assert counts[0] == 0
    assert scipy.stats.chisquare(counts[1:]).pvalue > 0.01


def test_tasks_outside_the_evaluation_tasks_count_for_none():
    context = problems.tiny_context(task_ids=(0, 1, 2))
    demos = context.demos._replace(task_ids=jnp.full(6, -1, jnp.int32))
    _, scores = draw(context._replace(demos=demos), (5, 4, 6), draws=1)
    np.testing.assert_array_equal(scores, [[-5.0, -4.0, -6.0]])


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (None, "pretraining_counts must be given .* privileged"),
        ((1, -1, 0), "not negative, one per task; got"),
        ((1.5, 0.0, 0.0), "must be integers"),
        (((1, 2, 3),), "one per task"),
        ((), "must be integers"),
    ],
)
def test_counts_that_cannot_be_are_refused(counts, message):
    with pytest.raises(errors.InvalidArgumentError, match=message):
        selectors.make("rebalancing", pretraining_counts=counts)


def test_the_counts_are_required():
    with pytest.raises(errors.InvalidArgumentError, match="pretraining_counts"):
        selectors.make("rebalancing")


@pytest.mark.parametrize("counts", [(1, 2), (1, 2, 3, 4)])
def test_there_must_be_a_count_of_every_task(counts):
    selector = selectors.rebalancing(counts)
    message = f"each of the 3 evaluation tasks, got {len(counts)}"
    with pytest.raises(errors.InvalidArgumentError, match=message):
        jax.jit(selector.init)(problems.tiny_context())


def test_ragged_counts_are_refused():
    with pytest.raises(errors.InvalidArgumentError, match="must be integers"):
        inspect.unwrap(selectors.rebalancing)([[1], [2, 3]])
