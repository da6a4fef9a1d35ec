"""Regularisers: gradients by hand, and the Fisher information of a linear policy."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amf_jax import demonstrations as demonstrations_lib
from amf_jax import errors, regularisers
from tests import problems

POLICY = problems.tiny_policy()


def test_penalty_gradient_by_hand():
    weights = {"a": jnp.array([1.0, 4.0]), "b": jnp.array(0.5)}
    regulariser = regularisers.Regulariser(3.0, lambda key, anchor, demos: weights)
    anchor = {"a": jnp.array([1.0, 1.0]), "b": jnp.array(0.0)}
    params = {"a": jnp.array([2.0, 0.5]), "b": jnp.array(8.0)}
    gradient = regularisers.penalty_gradient(
        regulariser, jax.random.key(0), anchor, problems.tiny_demos()
    )
    np.testing.assert_allclose(gradient(params)["a"], [3.0, -6.0])
    np.testing.assert_allclose(gradient(params)["b"], 12.0)


def test_l2_pulls_every_parameter_alike():
    anchor, params = (POLICY.init(jax.random.key(seed)) for seed in (0, 1))
    gradient = regularisers.penalty_gradient(
        regularisers.l2(0.3), jax.random.key(2), anchor, problems.tiny_demos()
    )

    def penalty(params):
        squares = jax.tree.map(lambda p, a: jnp.sum((p - a) ** 2), params, anchor)
        return 0.3 / 2 * sum(jax.tree.leaves(squares))

    jax.tree.map(
        lambda actual, expected: np.testing.assert_allclose(actual, expected, 1e-5),
        gradient(params),
        jax.grad(penalty)(params),
    )


def fisher(demos, samples, seed=0):
    regulariser = regularisers.ewc(POLICY, 1.0, samples)
    params = POLICY.init(jax.random.key(3))
    return jax.jit(regulariser.importance)(jax.random.key(seed), params, demos)


def test_ewc_finds_the_fisher_information_of_a_linear_policy():
    # Of a Gaussian of unit variance around W^T x + b: E[x_i^2] for every entry of row i
    # of W, and 1 for b, the mean being over the recorded steps.
    demos = problems.tiny_demos(1, (0, 1, 2), capacity=5, horizon=4)
    valid = np.asarray(demonstrations_lib.valid_steps(demos))
    tasks = np.broadcast_to(np.asarray(demos.tasks)[:, None], (*valid.shape, 2))
    inputs = np.concatenate([demos.observations, tasks], axis=-1)[valid]
    rows = (inputs**2).mean(axis=0)
    expected = {"kernel": np.stack([rows, rows], axis=1), "bias": np.ones(2)}
    mean = (2 * rows.sum() + 2) / 12
    actual = fisher(demos, 20_000)
    for name, value in expected.items():
        # The square of a Gaussian label has a standard deviation of sqrt(2).
        np.testing.assert_allclose(actual[name], value / mean, rtol=0.08)
    total = sum(float(leaf.sum()) for leaf in actual.values())
    assert total == pytest.approx(12)  # divided by its mean over 12 parameters


def test_ewc_ignores_the_expert_and_the_padding():
    demos = problems.tiny_demos(1, (0, 1, 2), capacity=5)
    recorded = demonstrations_lib.valid_steps(demos)[..., None]
    spoiled = demos._replace(
        observations=jnp.where(recorded, demos.observations, jnp.nan),
        actions=jnp.full_like(demos.actions, jnp.nan),
        tasks=jnp.where(demos.demo_mask[:, None], demos.tasks, jnp.nan),
    )
    jax.tree.map(np.testing.assert_array_equal, fisher(demos, 50), fisher(spoiled, 50))
    assert (fisher(demos, 50, seed=1)["bias"] != fisher(demos, 50)["bias"]).any()


def test_ewc_without_demonstrations_holds_nothing():
    demos = problems.tiny_demos(1, (0, 1))
    nothing = demos._replace(
        demo_mask=jnp.zeros(2, bool),
        observations=jnp.full_like(demos.observations, jnp.nan),
    )
    for leaf in jax.tree.leaves(fisher(nothing, 10)):
        np.testing.assert_array_equal(leaf, 0.0)


def test_ewc_of_a_policy_that_does_not_depend_on_its_parameters_holds_nothing():
    policy = dataclasses.replace(
        POLICY, act=lambda params, key, observations, tasks: observations[..., :2]
    )
    params = {"unused": jnp.ones(3)}
    importance = regularisers.ewc(policy, 1.0, 5).importance(
        jax.random.key(0), params, problems.tiny_demos()
    )
    np.testing.assert_array_equal(importance["unused"], 0.0)


@pytest.mark.parametrize("strength", [-1.0, float("nan"), float("inf")])
@pytest.mark.parametrize(
    "build", [regularisers.l2, lambda strength: regularisers.ewc(POLICY, strength)]
)
def test_a_strength_must_be_finite_and_not_negative(build, strength):
    with pytest.raises(
        errors.InvalidArgumentError, match="strength must be at least 0 and"
    ):
        build(strength)


def test_ewc_needs_samples():
    with pytest.raises(errors.InvalidArgumentError, match="samples must be a whole"):
        regularisers.ewc(POLICY, 1.0, samples=0)
