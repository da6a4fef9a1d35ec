"""Learners: what turns demonstrations into a policy."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from amf_jax import demonstrations as demonstrations_lib
from amf_jax import errors, finetune, learners, mixing, regularisers
from amf_jax.policies import gp
from tests import problems

POLICY = problems.tiny_policy()


def training(steps, rate=0.05):
    return learners.Training(steps, finetune.constant(rate), batch_size=16)


def make(**options):
    return learners.gradient_learner(
        POLICY,
        finetune.adamw_direction(0.0),
        training(100),
        training(100),
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


def two_rounds(learner):
    """Learner states before the first round and after each, and the losses."""
    states = [jax.jit(learner.init)(jax.random.key(0), expert_demos((0, 1, 2)))]
    demos = expert_demos((2, 1), 4, 1, -1.0)
    update = jax.jit(learner.update)
    for count in (1, 2):
        mask = demos.demo_mask & (jnp.arange(4) < count)
        new, metrics = update(
            jax.random.key(count), states[-1], demos._replace(demo_mask=mask)
        )
        states.append(new)
    return states, metrics["losses"]


@functools.cache
def free_rounds():
    """`two_rounds` of the learner without anything against forgetting."""
    return two_rounds(make())


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
            dataclasses.replace(POLICY, init=None),
            finetune.adamw_direction(),
            training(1),
            training(1),
        )


def test_the_validation_copy_ignores_the_first_demonstrations():
    learner = make(embedding_policy="validation_copy", validation_copy_after=2)
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
    learner = make(mixing=mixing.descent(3, conservatism=0.05))
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
        mixing=mixing.descent(3, conservatism=0.05),
    )
    back, _ = jax.jit(trained_no_more.update)(jax.random.key(2), worse, demos)
    assert back.mixing[2] < 0.05


def test_mixing_does_not_see_padding():
    learner = make(mixing=mixing.descent(3))
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
    learner = make(mixing=mixing.descent(3))
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


def test_mixing_is_told_what_each_policy_does_at_the_demonstrated_states():
    told = mixing.Mixing(
        init=lambda key: mixing.MixingState(jnp.zeros(3)),
        update=lambda state, comparison: mixing.MixingState(state.alpha, comparison),
        weights=lambda state, tasks, task_ids: state.alpha[task_ids],
    )
    learner = make(mixing=told)
    update = jax.jit(learner.update)
    state = learner.init(jax.random.key(0), expert_demos((0, 1)))
    demos = expert_demos((2, 1), 4, 1)
    before, _ = update(jax.random.key(1), state, demos)
    after, _ = update(jax.random.key(2), before, demos)
    comparison = after.auxiliary.mixing
    valid = demonstrations_lib.valid_steps(demos)
    tasks = jnp.broadcast_to(demos.tasks[:, None], (*valid.shape, 2))
    for params, actions in [
        (after.params, comparison.policy_actions),
        (before.params, comparison.previous_actions),
        (state.params, comparison.prior_actions),
    ]:
        expected = POLICY.act(params, None, demos.observations, tasks)
        np.testing.assert_allclose(actions[valid], expected[valid], atol=1e-5)
    np.testing.assert_array_equal(comparison.actions[valid], demos.actions[valid])
    held = demos.demo_mask
    np.testing.assert_array_equal(comparison.tasks[held], demos.tasks[held])
    for field in ("task_ids", "demo_mask"):
        np.testing.assert_array_equal(getattr(comparison, field), getattr(demos, field))
    np.testing.assert_array_equal(comparison.step_mask, valid)


@pytest.mark.parametrize(
    "rule",
    [
        mixing.closed_form(3),
        mixing.gate(3),
        mixing.prequential(3),
        mixing.network(problems.tiny_tasks(), features=(4,), learning_rate=0.1),
    ],
    ids=["closed_form", "gate", "prequential", "network"],
)
def test_every_rule_learns_to_trust_a_policy_that_learned_something(rule):
    learner = make(mixing=rule, initial_params=free_rounds()[0][0].params)
    state = jax.jit(learner.init)(jax.random.key(0), None)
    assert (state.mixing < 0.05).all()
    held = expert_demos((2, 2, 2), 4, 1, gain=-2.0)

    @jax.jit
    def rounds(state):
        def one(state, inputs):
            key, count = inputs
            mask = held.demo_mask & (jnp.arange(4) < count)
            new, _ = learner.update(key, state, held._replace(demo_mask=mask))
            return new, new.mixing

        keys = jax.random.split(jax.random.key(1), 3)
        return jax.lax.scan(one, state, (keys, jnp.arange(1, 4)))

    state, alphas = rounds(state)  # the state keeps its structure
    assert alphas[-1, 2] > 0.5
    actions = learner.act(
        state,
        jax.random.key(2),
        held.observations[:1, 0],
        held.tasks[:1],
        held.task_ids[:1],
    )
    query = None, held.observations[:1, 0], held.tasks[:1]
    tuned, prior = (POLICY.act(p, *query) for p in (state.params, state.prior_params))
    alpha = state.mixing[2]
    np.testing.assert_allclose(actions, alpha * tuned + (1 - alpha) * prior, 1e-4)


def test_alpha_of_one_is_no_adaptive_prior():
    always = mixing.Mixing(
        init=lambda key: mixing.MixingState(jnp.ones(3)),
        update=lambda state, comparison: state,
        weights=lambda state, tasks, task_ids: state.alpha[task_ids],
    )
    mixed = make(mixing=always)
    results = []
    for learner, (states, _) in [(mixed, two_rounds(mixed)), (make(), free_rounds())]:
        demos = expert_demos((0, 1, 2), seed=2)
        query = demos.observations[:, 0], demos.tasks, demos.task_ids
        actions = jax.jit(learner.act)(states[-1], jax.random.key(2), *query)
        results.append((states[-1].params, actions))
    assert not unequal(*results)


@pytest.mark.parametrize(
    "regularise",
    [regularisers.l2, lambda strength: regularisers.ewc(POLICY, strength, 8)],
    ids=["l2", "ewc"],
)
def test_regularisers_hold_fine_tuning_at_the_pretrained_parameters(regularise):
    free = free_rounds()
    assert not unequal(two_rounds(make(regulariser=regularise(0.0))), free)

    held, held_losses = two_rounds(make(regulariser=regularise(30.0)))
    assert not unequal(held[0], free[0][0])  # pre-training is not regularised

    def moved(state):
        start = free[0][0].params
        return optax.tree.norm(optax.tree.sub(state.params, start))

    assert 0 < moved(held[2]) < 0.5 * moved(free[0][2])
    # The trace holds the cloning loss, which the pull makes worse, and no penalty.
    asked = expert_demos((2, 1), 4, 1, -1.0)
    assert held_losses[-1] > free[1][-1]
    np.testing.assert_allclose(
        held_losses[-1], cloning_error(held[2].params, asked), rtol=0.3
    )


def test_the_validation_copy_is_regularised_on_what_it_is_trained_on():
    options = dict(embedding_policy="validation_copy", validation_copy_after=1)
    learner = make(regulariser=regularisers.ewc(POLICY, 30.0, 8), **options)
    (start, first, second), _ = two_rounds(learner)
    assert not unequal(first.embedding_params, start.params)

    def moved(params):
        return optax.tree.norm(optax.tree.sub(params, start.params))

    free = free_rounds()[0][1].params  # one round of training, like the copy
    assert 0 < moved(second.embedding_params) < 0.5 * moved(free)


def test_embeddings_of_the_current_policy_follow_it():
    (start, *rounds), _ = two_rounds(make(embedding_policy="current"))
    assert not unequal(start.embedding_params, start.params)
    for state in rounds:
        assert not unequal(state.embedding_params, state.params)
        assert unequal(state.embedding_params, start.params)


def test_an_unknown_embedding_policy_is_refused_by_name():
    with pytest.raises(errors.UnknownNameError, match="Did you mean 'validation_copy'"):
        make(embedding_policy="validation")


@pytest.mark.parametrize(
    "options",
    [
        dict(embedding_policy="validation_copy"),
        dict(embedding_policy="current", validation_copy_after=4),
        dict(validation_copy_after=4),
    ],
)
def test_the_validation_copy_needs_to_know_what_it_is_not_trained_on(options):
    with pytest.raises(errors.InvalidArgumentError, match="validation_copy_after"):
        make(**options)


def test_conditioning_learns_from_both_sets_of_demonstrations():
    hyperparameters = gp.Hyperparameters(1.0, 1.0, 1.0, 0.1)
    blank = demonstrations_lib.empty(4, 3, 3, 2, 2)
    policy = gp.policy()
    condition = jax.jit(functools.partial(gp.condition, hyperparameters))
    learner = learners.conditioning_learner(condition, policy, blank)
    shown, asked = expert_demos((0, 1)), expert_demos((2,), 4, 1)
    state = learner.init(jax.random.key(0), shown)
    new, _ = learner.update(jax.random.key(1), state, asked)
    assert jax.tree.map(jnp.shape, new) == jax.tree.map(jnp.shape, state)

    act = jax.jit(policy.act)
    query = asked.observations[:1, 0], asked.tasks[:1]
    for params, expected in [
        (state.params, condition(shown)),
        (new.params, condition(shown, expert_demos((2,), 1, 1))),
    ]:
        np.testing.assert_allclose(
            act(params, None, *query), act(expected, None, *query), 1e-4
        )
    acted = learner.act(new, jax.random.key(2), *query, asked.task_ids[:1])
    np.testing.assert_allclose(acted, act(new.params, None, *query), 1e-6)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (dict(steps=-1), "steps must be a whole number, at least 0"),
        (dict(steps=2**31), "steps must be a whole number, at least 0"),
        (dict(batch_size=0), "batch_size must be a whole number, at least 1"),
    ],
)
def test_training_out_of_range_is_refused_where_it_is_said(changed, message):
    arguments = dict(steps=1, schedule=finetune.constant(0.1), batch_size=1)
    with pytest.raises(errors.InvalidArgumentError, match=message):
        learners.Training(**arguments | changed)


def test_a_learning_rate_is_no_schedule():
    wrong = training(1)  # past the annotations, which only tests enforce
    object.__setattr__(wrong, "schedule", 1e-3)
    with pytest.raises(errors.InvalidArgumentError, match="function of progress"):
        wrong.__post_init__()


def test_the_validation_copy_is_not_trained_on_a_number_of_demonstrations():
    with pytest.raises(errors.InvalidArgumentError, match="validation_copy_after must"):
        make(embedding_policy="validation_copy", validation_copy_after=-1)


@pytest.mark.parametrize("pretrained", [False, True])
def test_an_optimiser_that_ascends_is_refused_before_anything_is_trained(pretrained):
    given = POLICY.init(jax.random.key(5)) if pretrained else None
    learner = learners.gradient_learner(
        POLICY, optax.adam(0.1), training(1), training(1), initial_params=given
    )
    with pytest.raises(errors.InvalidArgumentError, match="optimizer must give a dir"):
        learner.init(jax.random.key(0), expert_demos((0, 1)))


@pytest.mark.parametrize(
    ("of_params", "of_demos"),
    [("bfloat16", "float32"), ("float32", "float64"), ("float64", "float32")],
)
@pytest.mark.parametrize("name", ["descent", "closed_form", "prequential", "network"])
def test_rounds_keep_their_types_whatever_the_data_have(name, of_params, of_demos):
    rules = {
        "descent": lambda: mixing.descent(3, steps=2),
        "closed_form": lambda: mixing.closed_form(3),
        "prequential": lambda: mixing.prequential(3),
        "network": lambda: mixing.network(jnp.eye(3, 2, dtype=int), steps=2),
    }
    double = jax.enable_x64("float64" in (of_params, of_demos))
    with double:
        start = POLICY.init(jax.random.key(5))
        start = jax.tree.map(lambda leaf: leaf.astype(of_params), start)
        learner = make(
            mixing=rules[name](),
            initial_params=start,
            regulariser=regularisers.ewc(POLICY, 1.0, 2),
        )
        demos = problems.tiny_demos(0, (0, 1, 2), dtype=of_demos)

        def rounds(key):
            def one(state, key):
                return learner.update(key, state, demos)

            keys = jax.random.split(key, 3)
            state = learner.init(keys[2], None)
            return jax.lax.scan(one, state, keys[:2])[0]

        # Tracing is enough: a type that changed from round to round would end it.
        state = jax.eval_shape(rounds, jax.random.key(0))
    assert state.params["kernel"].dtype == of_params
    assert state.mixing.dtype in ("float32", "float64")
