"""Padding: what a policy is asked there, and that nothing comes of it.

The policy has no action at zeros, so that it is undefined in padding as buffers have
it; the contract of selectors (test_selectors.py) asks for the same of all of them.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amf_jax import demonstrations as demonstrations_lib
from amf_jax import errors, finetune, learners, mixing, posterior, regularisers
from amf_jax.embeddings import Embedding
from amf_jax.selectors import Choice, pending
from tests import problems

POLICY = problems.unit_policy()
RULES = {
    "descent": mixing.descent(3),
    "closed_form": mixing.closed_form(3),
    "gate": mixing.gate(3),
    "prequential": mixing.prequential(3),
    "network": mixing.network(problems.tiny_tasks(), features=(4,), steps=20),
}
REGULARISERS = {
    "none": None,
    "l2": regularisers.l2(0.1),
    "ewc": regularisers.ewc(POLICY, 0.1, samples=8),
}
#: The last task is demonstrated, so that what unused rows say would show in its alpha.
TASK_IDS = (2, 0, 2)


def full(horizon=2):
    return problems.tiny_demos(3, TASK_IDS, horizon=horizon, ragged=False)


def padded(demos, value, rows=2, steps=1):
    """The same in a larger buffer, with `value` wherever nothing was recorded."""

    def more(leaf, fill, axes):
        widths = [(0, rows), (0, steps)][:axes] + [(0, 0)] * (leaf.ndim - axes)
        return jnp.pad(leaf, widths, constant_values=fill)

    return demonstrations_lib.Demonstrations(
        more(demos.observations, value, 2),
        more(demos.actions, value, 2),
        more(demos.step_mask, False, 2),
        more(demos.tasks, value, 1),
        more(demos.task_ids, -1, 1),
        more(demos.demo_mask, False, 1),
    )


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_padding_is_filled_with_recorded_steps_and_tasks(value):
    demos = padded(full(), value)
    # The first step of the second demonstration is lost, and the first one as a whole.
    mask = demos.step_mask.at[1, 0].set(False)
    demos = demos._replace(step_mask=mask, demo_mask=demos.demo_mask.at[0].set(False))
    filled = jax.jit(demonstrations_lib.fill_padding)(demos)
    given, found = np.asarray(demos.observations), np.asarray(filled.observations)
    np.testing.assert_array_equal(found[1], given[1, [1, 1, 1]])
    np.testing.assert_array_equal(found[2], given[2, [0, 1, 0]])
    for row in (0, 3, 4):  # hold no demonstration: the second one is the first that is
        np.testing.assert_array_equal(found[row], given[1, [1, 1, 1]])
        np.testing.assert_array_equal(filled.actions[row], demos.actions[1, [1, 1, 1]])
    np.testing.assert_array_equal(filled.tasks, demos.tasks[[1, 1, 2, 1, 1], :])
    for name in ("step_mask", "task_ids", "demo_mask"):
        np.testing.assert_array_equal(getattr(filled, name), getattr(demos, name))


def test_an_empty_buffer_has_nothing_to_fill_with():
    demos = padded(full(), np.nan)._replace(demo_mask=jnp.zeros(5, bool))
    filled = demonstrations_lib.fill_padding(demos)
    for name in ("observations", "actions", "tasks"):
        np.testing.assert_array_equal(getattr(filled, name), 0.0)


@functools.cache
def rounds(rule, regulariser="none", **options):
    """`(demos) -> states` of a learner after a round on the first and one on all."""
    training = learners.Training(10, finetune.constant(0.05), batch_size=8)
    learner = learners.gradient_learner(
        POLICY,
        finetune.adamw_direction(),
        training,
        training,
        mixing=RULES[rule],
        regulariser=REGULARISERS[regulariser],
        initial_params=POLICY.init(jax.random.key(0)),
        **options,
    )

    @jax.jit
    def run(demos):
        def one(state, inputs):
            key, count = inputs
            at_hand = demos.demo_mask & (jnp.arange(demos.demo_mask.size) < count)
            now = demos._replace(demo_mask=at_hand)
            state, _ = learner.update(key, state, now)
            return state, state

        start = learner.init(jax.random.key(1), None)
        inputs = jax.random.split(jax.random.key(2)), jnp.array([1, len(TASK_IDS)])
        return jax.lax.scan(one, start, inputs)[1]

    return run


COPY = dict(embedding_policy="validation_copy", validation_copy_after=1)


@pytest.mark.parametrize(
    ("rule", "options"),
    [(rule, {}) for rule in RULES]
    + [
        ("closed_form", dict(regulariser="l2", **COPY)),
        ("closed_form", dict(regulariser="ewc", **COPY)),
    ],
)
def test_learners_do_not_see_padding(rule, options):
    run = rounds(rule, **options)
    expected = run(full())
    assert np.isfinite(expected.mixing).all()
    assert (expected.mixing[-1, jnp.array([0, 2])] > 0).any()
    actual = run(padded(full(), np.nan))
    for name in ("params", "embedding_params", "mixing"):
        jax.tree.map(
            lambda one, other: np.testing.assert_allclose(one, other, 1e-4, 1e-6),
            getattr(actual, name),
            getattr(expected, name),
        )


@pytest.mark.parametrize("rule", RULES)
def test_a_policy_that_acts_nan_is_not_turned_into_the_prior(rule):
    demos = full()
    broken = demos._replace(observations=demos.observations.at[1, 0].set(jnp.nan))
    run = rounds(rule)
    alpha = run(broken).mixing[-1]
    assert np.isnan(alpha[0])
    mixing.check_alpha(run(demos).mixing[-1])
    with pytest.raises(errors.TrainingError, match="weight of task .*reach"):
        mixing.check_alpha(alpha, ("reach", "push", "pull"))


def test_ewc_does_not_turn_nan_into_no_pull():
    importance = REGULARISERS["ewc"].importance
    params = POLICY.init(jax.random.key(0))
    broken = jax.tree.map(lambda leaf: leaf.at[0].set(jnp.nan), params)
    at_hand = jax.random.key(1), full()._replace(observations=jnp.zeros((3, 2, 3)))
    for leaf in jax.tree.leaves(importance(at_hand[0], broken, at_hand[1])):
        assert np.isnan(leaf).all()


def test_a_slot_that_is_not_in_use_stands_for_a_demonstrated_task():
    demos = full()
    choice = Choice(jnp.int32(0), jnp.array([5.0, 6.0]))
    asked = pending.assign(pending.none(2, problems.tiny_tasks()), 1, choice)
    weights = jnp.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    expected = pending.stand_ins(asked, demos, weights)
    np.testing.assert_array_equal(expected.tasks, [demos.tasks[1], [5.0, 6.0]])
    np.testing.assert_array_equal(expected.demo_mask, [False, True])


def test_the_scale_of_a_kernel_is_not_that_of_points_that_do_not_count():
    embedding = Embedding(None, None, lambda x: (x[:, 0] / x[:, 0]) * x[:, 0])
    points, weights = jnp.array([[2.0], [0.0], [4.0]]), jnp.array([0.75, 0.0, 0.25])
    scale = posterior.mean_diagonal(embedding.diagonal, points, weights)
    np.testing.assert_allclose(scale, 2.5)
