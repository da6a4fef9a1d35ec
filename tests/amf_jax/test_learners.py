"""Learners: what turns demonstrations into a policy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amf_jax import demonstrations as demonstrations_lib
from amf_jax import errors, finetune, learners
from amf_jax.policies import gp
from tests import problems

POLICY = problems.tiny_policy()
pytestmark = pytest.mark.usefixtures("quick_compile")


def training(steps, rate=0.05):
    return learners.Training(steps, finetune.constant(rate), batch_size=16)


def make(**options):
    return learners.gradient_learner(
        POLICY,
        finetune.adamw_direction(0.0),
        training(100),
        training(100),
        num_tasks=3,
        **options,
    )


def expert_demos(task_ids, capacity=None, seed=0, gain=1.0):
    """Demonstrations of a linear expert, which the tiny policy can represent."""
    demos = problems.tiny_demos(seed, task_ids, capacity=capacity)
    actions = gain * (demos.observations[..., :2] - demos.tasks[:, None])
    return demos._replace(actions=jnp.where(demos.step_mask[..., None], actions, 0.0))


def cloning_error(params, demos):
    valid = demonstrations_lib.valid_steps(demos)
    tasks = jnp.broadcast_to(demos.tasks[:, None], (*valid.shape, 2))
    error = (POLICY.act(params, None, demos.observations, tasks) - demos.actions) ** 2
    return float(jnp.where(valid[..., None], error, 0.0).sum() / valid.sum())


def unequal(one, other):
    return any(
        (a != b).any()
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    )


def test_training_brings_the_policy_closer_to_the_expert():
    before, after = expert_demos((0, 1, 2, 0)), expert_demos((2, 1), 6, 1, -1.0)
    learner = make()
    key = jax.random.key(0)
    state = jax.jit(learner.init)(key, before)
    fresh = POLICY.init(jax.random.split(jax.random.key(0))[0])
    assert cloning_error(state.params, before) < 0.3 * cloning_error(fresh, before)
    new, metrics = jax.jit(learner.update)(jax.random.key(1), state, after)
    assert cloning_error(new.params, after) < 0.3 * cloning_error(state.params, after)
    assert metrics["losses"][-1] < metrics["losses"][0]
    for frozen in ("prior_params", "embedding_params"):
        assert not unequal(getattr(new, frozen), state.params)


def test_training_depends_on_its_key_alone():
    learner, demos = make(), expert_demos((0, 1, 2))
    init = jax.jit(learner.init)
    first, same, other = (init(jax.random.key(seed), demos) for seed in (0, 0, 1))
    assert not unequal(first.params, same.params)
    assert unequal(first.params, other.params)


def test_without_demonstrations_nothing_is_trained():
    learner, demos = make(), expert_demos((0, 1, 2))
    state = learner.init(jax.random.key(0), demos)
    nothing = demos._replace(demo_mask=jnp.zeros(3, bool))
    new, _ = learner.update(jax.random.key(1), state, nothing)
    assert not unequal(new.params, state.params)


def test_parameters_that_are_given_are_not_pretrained():
    given = POLICY.init(jax.random.key(5))
    learner = make(initial_params=given)
    state = learner.init(jax.random.key(0), expert_demos((0, 1)))
    assert not unequal(state.params, given)


def test_a_policy_without_init_needs_parameters():
    with pytest.raises(errors.InvalidArgumentError, match="initial_params"):
        learners.gradient_learner(
            POLICY._replace(init=None),
            finetune.adamw_direction(),
            training(1),
            training(1),
            num_tasks=3,
        )


def test_the_validation_copy_ignores_the_first_demonstrations():
    learner = make(validation_copy_after=2)
    demos = expert_demos((0, 1, 2, 0), 6)
    state = learner.init(jax.random.key(0), expert_demos((0, 1, 2)))
    update = jax.jit(learner.update)

    def after(count):
        mask = demos.demo_mask & (jnp.arange(6) < count)
        new, _ = update(jax.random.key(1), state, demos._replace(demo_mask=mask))
        return new

    for count in (1, 2):  # the warm start trains the policy alone
        assert unequal(after(count).params, state.params)
        assert not unequal(after(count).embedding_params, state.params)
    third = after(3)
    assert unequal(third.embedding_params, state.params)
    # what was ignored has no influence at all
    demos = demos._replace(actions=demos.actions.at[:2].set(9.0))
    assert not unequal(after(3).embedding_params, third.embedding_params)
    assert unequal(after(3).params, third.params)


def test_mixing_follows_whichever_policy_is_better():
    # Pre-trained on tasks 0 and 1, fine-tuned on task 2 alone and on task 0 with noise.
    learner = make(adaptive_prior=learners.AdaptivePrior(conservatism=0.05))
    state = learner.init(jax.random.key(0), expert_demos((0, 1, 0, 1)))
    np.testing.assert_array_equal(state.mixing, 0.0)
    update = jax.jit(learner.update)
    demos = expert_demos((2, 2, 2), 6, 1, gain=-2.0)
    new, _ = update(jax.random.key(1), state, demos)
    assert new.mixing[2] > 0.9
    np.testing.assert_array_equal(new.mixing[:2], 0.0)  # never demonstrated
    worse = new._replace(params=state.prior_params, prior_params=new.params)
    trained_no_more = learners.gradient_learner(
        POLICY,
        finetune.adamw_direction(),
        training(0),
        training(0),
        num_tasks=3,
        adaptive_prior=learners.AdaptivePrior(conservatism=0.05),
    )
    back, _ = trained_no_more.update(jax.random.key(2), worse, demos)
    assert back.mixing[2] < 0.05


def test_mixing_does_not_see_padding():
    learner = make(adaptive_prior=learners.AdaptivePrior())
    state = learner.init(jax.random.key(0), expert_demos((0, 1)))
    demos = expert_demos((2, 1), 6, 1)
    recorded = demonstrations_lib.valid_steps(demos)[..., None]
    padded = demos._replace(
        observations=jnp.where(recorded, demos.observations, jnp.nan),
        actions=jnp.where(recorded, demos.actions, jnp.nan),
    )
    update = jax.jit(learner.update)
    clean, _ = update(jax.random.key(1), state, demos)
    other, _ = update(jax.random.key(1), state, padded)
    assert not unequal(other, clean)


def test_actions_are_mixed_per_task():
    learner = make(adaptive_prior=learners.AdaptivePrior())
    state = learner.init(jax.random.key(0), expert_demos((0, 1, 2)))
    other = POLICY.init(jax.random.key(9))
    state = state._replace(params=other, mixing=jnp.array([0.0, 0.25, 1.0]))
    demos = expert_demos((0, 1, 2))
    observations, ids = demos.observations[:, 0], demos.task_ids
    actions = learner.act(state, jax.random.key(1), observations, demos.tasks, ids)
    tuned = POLICY.act(other, None, observations, demos.tasks)
    prior = POLICY.act(state.prior_params, None, observations, demos.tasks)
    np.testing.assert_allclose(actions[0], prior[0], 1e-6)
    np.testing.assert_allclose(actions[1], 0.25 * tuned[1] + 0.75 * prior[1], 1e-5)
    np.testing.assert_allclose(actions[2], tuned[2], 1e-6)


def test_conditioning_learns_from_both_sets_of_demonstrations():
    hyperparameters = gp.Hyperparameters(1.0, 1.0, 1.0, 0.1)
    blank = demonstrations_lib.empty(4, 3, 3, 2, 2)
    policy = gp.policy()
    learner = learners.conditioning_learner(
        lambda first, then: gp.condition(hyperparameters, first, then), policy, blank
    )
    shown, asked = expert_demos((0, 1)), expert_demos((2,), 4, 1)
    state = learner.init(jax.random.key(0), shown)
    new, _ = learner.update(jax.random.key(1), state, asked)
    assert jax.tree.map(jnp.shape, new) == jax.tree.map(jnp.shape, state)

    query = asked.observations[:1, 0], asked.tasks[:1]
    for params, expected in [
        (state.params, gp.condition(hyperparameters, shown)),
        (new.params, gp.condition(hyperparameters, shown, expert_demos((2,), 1, 1))),
    ]:
        np.testing.assert_allclose(
            policy.act(params, None, *query), policy.act(expected, None, *query), 1e-4
        )
    acted = learner.act(new, jax.random.key(2), *query, asked.task_ids[:1])
    np.testing.assert_allclose(acted, policy.act(new.params, None, *query), 1e-6)
