"""Losses against closed forms."""

import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from amf_jax import losses
from tests import problems

fit = jax.jit(functools.partial(losses.fit_mixing, steps=3000))
TASK_IDS = np.array([0, 1, 0, 2, 1])
NUM_TASKS = 4  # the last one is never demonstrated


def random_actions(seed, scale=0.5):
    """Actions of the expert, the policy and the prior; steps that were recorded."""
    rng = np.random.default_rng(seed)
    actions, policy, prior = (
        jnp.asarray(scale * rng.normal(size=(5, 4, 2)), jnp.float32) for _ in range(3)
    )
    step_mask = rng.random((5, 4)) < 0.7
    step_mask[:, 0] = True
    return actions, policy, prior, jnp.asarray(step_mask)


def compared(actions, policy, prior, step_mask, task_ids=TASK_IDS):
    """A comparison; what the loss does not look at is whatever."""
    return losses.Comparison(
        actions,
        policy,
        jnp.full_like(policy, jnp.nan),
        prior,
        jnp.zeros((len(task_ids), 2)),
        jnp.asarray(task_ids),
        step_mask,
        step_mask.any(axis=1),
    )


def closed_form(actions, policy, prior, step_mask, conservatism):
    """Minimiser of eq. 93 over each alpha in [0, 1].

    With d = policy - prior and r = expert - prior, averaged over action dimensions:
    alpha = clip((sum d r / T - beta n_c / 2 N) / (sum d^2 / T)), the sums being over
    the task's n_c demonstrations out of N and T the number of all steps. With one task
    this is clip((E[d r] - beta / 2) / E[d^2]).
    """
    actions, policy, prior = (np.asarray(x, float) for x in (actions, policy, prior))
    step_mask = np.asarray(step_mask)
    alpha = np.zeros(NUM_TASKS)
    for task in np.unique(TASK_IDS):
        product = square = 0.0
        for i in np.flatnonzero(task == TASK_IDS):
            for t in np.flatnonzero(step_mask[i]):
                change = policy[i, t] - prior[i, t]
                product += np.mean(change * (actions[i, t] - prior[i, t]))
                square += np.mean(change**2)
        steps = step_mask.sum()
        share = np.mean(task == TASK_IDS)
        numerator = product / steps - conservatism * share / 2
        alpha[task] = np.clip(numerator / (square / steps), 0, 1)
    return alpha


def test_behaviour_cloning_is_the_mean_over_examples():
    policy = problems.tiny_policy()
    params = policy.init(jax.random.key(0))
    rng = np.random.default_rng(0)
    arrays = [
        jnp.asarray(rng.normal(size=(6, size)), jnp.float32) for size in (3, 2, 2)
    ]
    inputs = np.concatenate([arrays[0], arrays[2]], axis=1)
    outputs = inputs @ np.asarray(params["kernel"]) + np.asarray(params["bias"])
    np.testing.assert_allclose(
        losses.behaviour_cloning(
            policy.loss, params, jax.random.split(jax.random.key(1), 6), *arrays
        ),
        np.mean(np.sum((outputs - np.asarray(arrays[1])) ** 2, axis=1)),
        rtol=1e-5,
    )


def test_behaviour_cloning_gives_each_example_its_own_key():
    zeros = jnp.zeros((400, 1))
    mean = losses.behaviour_cloning(
        lambda params, key, *example: jax.random.normal(key),
        None,
        jax.random.split(jax.random.key(0), 400),
        zeros,
        zeros,
        zeros,
    )
    assert abs(float(mean)) < 0.25  # 5 deviations of the mean of 400 independent draws


def test_mixing_of_one_is_the_policy_and_of_zero_the_prior():
    actions, policy, prior, _ = random_actions(0)
    shape = actions.shape[:-1]
    np.testing.assert_array_equal(
        losses.mix_actions(jnp.ones(shape), policy, prior), policy
    )
    np.testing.assert_array_equal(
        losses.mix_actions(jnp.zeros(shape), policy, prior), prior
    )


def test_the_ends_of_mixing_are_exact_for_actions_of_any_size():
    rng = np.random.default_rng(1)
    policy, prior = (
        jnp.asarray(rng.normal(size=(64, 3)) * 10.0 ** rng.integers(-30, 30, (64, 3)))
        for _ in range(2)
    )
    mix = jax.jit(losses.mix_actions)
    np.testing.assert_array_equal(mix(jnp.ones(64), policy, prior), policy)
    np.testing.assert_array_equal(mix(jnp.zeros(64), policy, prior), prior)


def test_mix_actions_by_hand():
    mixed = losses.mix_actions(
        jnp.array([0.25, 0.5]),
        jnp.array([[4.0, 0.0], [2.0, 2.0]]),
        jnp.array([[0.0, 8.0], [4.0, -2.0]]),
    )
    np.testing.assert_allclose(mixed, [[1.0, 6.0], [3.0, 0.0]])


def test_adaptive_prior_by_hand():
    # Demonstration 0 (task 1, alpha 1/2): |2 - (1/2 * 2 + 1/2 * 0)|^2 = 1, and a
    # masked step. Demonstration 1 (task 0, alpha 0): |1 - 4|^2 = 9 and 0.
    # Demonstration 2 holds no step. fit = (1 + 9 + 0) / 3, pull = (1/2 + 0) / 2.
    actions = jnp.array([[[2.0], [9.0]], [[1.0], [4.0]], [[5.0], [5.0]]])
    policy = jnp.array([[[2.0], [0.0]], [[7.0], [7.0]], [[0.0], [0.0]]])
    prior = jnp.array([[[0.0], [0.0]], [[4.0], [4.0]], [[0.0], [0.0]]])
    mask = jnp.array([[True, False], [True, True], [False, False]])
    given = compared(actions, policy, prior, mask, [1, 0, 1])
    value = losses.adaptive_prior(jnp.array([0.0, 0.5]), given, 0.4)
    np.testing.assert_allclose(value, 10 / 3 + 0.4 / 4, rtol=1e-6)


@pytest.mark.parametrize("conservatism", [0.0, 0.01, 0.1])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_descent_finds_the_closed_form_of_each_task(seed, conservatism):
    actions, policy, prior, step_mask = random_actions(seed)
    # so that the minimum lies inside: the expert between the two
    actions = 0.6 * policy + 0.4 * prior + 0.3 * actions
    actual = fit(
        jnp.full(NUM_TASKS, 0.3),
        compared(actions, policy, prior, step_mask),
        conservatism,
    )
    expected = closed_form(actions, policy, prior, step_mask, conservatism)
    np.testing.assert_allclose(actual[:3], expected[:3], atol=1e-3)
    assert actual[3] == jnp.float32(0.3)  # no demonstration, no change


def test_one_task_in_the_textbook_form():
    actions, policy, prior, _ = random_actions(3)
    actions = 0.5 * policy + 0.5 * prior + 0.1 * actions
    change = np.asarray(policy - prior, float)
    rest = np.asarray(actions - prior, float)
    expected = (np.mean(change * rest) - 0.1 / 2) / np.mean(change**2)
    assert 0.1 < expected < 0.9
    actual = fit(
        jnp.zeros(1),
        compared(actions, policy, prior, jnp.ones((5, 4), bool), [0] * 5),
        0.1,
    )
    np.testing.assert_allclose(actual, [expected], atol=1e-4)


def test_trusts_the_policy_where_it_is_right_and_the_prior_where_that_is():
    actions, policy, prior, step_mask = random_actions(4)
    of_task_0 = (TASK_IDS == 0)[:, None, None]
    policy = jnp.where(of_task_0, actions, policy)
    prior = jnp.where(of_task_0, prior, actions)
    for start in (0.0, 0.5, 1.0):
        mixing = fit(
            jnp.full(NUM_TASKS, start),
            compared(actions, policy, prior, step_mask),
            0.0,
        )
        np.testing.assert_allclose(mixing[:3], [1.0, 0.0, 0.0], atol=1e-3)


def test_a_tie_goes_to_the_prior():
    actions, policy, _, step_mask = random_actions(5)
    mixing = fit(
        jnp.ones(NUM_TASKS),
        compared(actions, policy, policy, step_mask),
        0.1,
    )
    np.testing.assert_allclose(mixing[:3], 0.0, atol=1e-6)


@hypothesis.settings(max_examples=20, deadline=None, derandomize=True)
@hypothesis.given(
    seed=st.integers(0, 2**16),
    scale=st.sampled_from([0.0, 1e-3, 1.0, 30.0]),
    conservatism=st.floats(0.0, 10.0, width=32),
)
def test_mixing_stays_between_zero_and_one(seed, scale, conservatism):
    actions, policy, prior, step_mask = random_actions(seed, scale)
    mixing = fit(
        jnp.full(NUM_TASKS, 0.5),
        compared(actions, policy, prior, step_mask),
        conservatism,
    )
    assert ((mixing >= 0) & (mixing <= 1)).all()


def test_masked_steps_do_not_matter():
    actions, policy, prior, step_mask = random_actions(6)
    step_mask = step_mask.at[4].set(False)  # a row that is not in use

    @jax.jit
    def evaluate(actions, policy, prior):
        given = compared(actions, policy, prior, step_mask)
        mixing = jnp.full(NUM_TASKS, 0.2)
        return (
            losses.adaptive_prior(mixing, given, 0.1),
            losses.fit_mixing(mixing, given, 0.1),
        )

    spoiled = [
        jnp.where(step_mask[..., None], array, value)
        for array, value in zip((actions, policy, prior), (1e4, -1e4, 7.0), strict=True)
    ]
    before, after = evaluate(actions, policy, prior), evaluate(*spoiled)
    for clean, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(clean, other)
