"""Rules for the mixing weights: against each other, scipy and brute force."""

import functools
import itertools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from hypothesis import strategies as st

from amf_jax import errors, losses, mixing

TASK_IDS = np.array([0, 1, 0, 2, 1, -1])  # the last is no evaluation task
NUM_TASKS = 4  # the last of them is never demonstrated
TASKS = np.eye(NUM_TASKS)
CONSERVATISM = 0.05
KEY = 0


def random_comparison(seed, scale=0.5, blend=True):
    """A comparison whose last row is padding.

    With `blend` the expert acts between policy and prior, so that the minima do too.
    """
    rng = np.random.default_rng(seed)
    rows = TASK_IDS.size
    expert, policy, previous, prior = scale * rng.normal(size=(4, rows, 5, 2))
    if blend:
        share = np.array([0.2, 0.9, 0.4, 0.6, 0.7, 0.1])[:, None, None]
        expert = share * policy + (1 - share) * prior + 0.3 * expert
    demo_mask = np.arange(rows) < rows - 1
    step_mask = (rng.random((rows, 5)) < 0.7) & demo_mask[:, None]
    step_mask[:-1, 0] = True
    return mixing.Comparison(
        *(jnp.asarray(x, jnp.float32) for x in (expert, policy, previous, prior)),
        tasks=jnp.asarray(TASKS[np.maximum(TASK_IDS, 0)], jnp.float32),
        task_ids=jnp.asarray(TASK_IDS),
        step_mask=jnp.asarray(step_mask),
        demo_mask=jnp.asarray(demo_mask),
    )


def rules(conservatism=CONSERVATISM, steps=50):
    tasks = jnp.asarray(TASKS, jnp.float32)
    return {
        "descent": mixing.descent(NUM_TASKS, conservatism, steps=steps),
        "closed_form": mixing.closed_form(NUM_TASKS, conservatism),
        "gate": mixing.gate(NUM_TASKS, conservatism),
        "prequential": mixing.prequential(NUM_TASKS),
        "network": mixing.network(tasks, conservatism, features=(8,), steps=steps),
    }


NAMES = tuple(rules())
MINIMISERS = ("descent", "closed_form", "gate")


def fitted(rule, comparison, alpha=None):
    start = rule.init(jax.random.key(KEY))
    if alpha is not None:
        start = start._replace(alpha=alpha)
    return jax.jit(rule.update)(start, comparison)


def objective(alpha, comparison, conservatism=CONSERVATISM):
    """Eq. 93 in double precision, demonstration by demonstration."""
    c = jax.tree.map(np.asarray, comparison)
    rows = [i for i in range(TASK_IDS.size) if c.step_mask[i].any()]
    total = pull = 0.0
    for i in rows:
        weight = alpha[c.task_ids[i]]
        mixed = weight * c.policy_actions[i].astype(float)
        mixed += (1 - weight) * c.prior_actions[i]
        error = np.mean((c.actions[i] - mixed) ** 2, axis=-1)
        total += error[c.step_mask[i]].sum()
        pull += weight
    return total / c.step_mask.sum() + conservatism * pull / len(rows)


@pytest.mark.parametrize("seed", range(3))
def test_closed_form_is_the_minimiser(seed):
    comparison = random_comparison(seed)
    alpha = fitted(mixing.closed_form(NUM_TASKS, CONSERVATISM), comparison).alpha
    by_scipy = scipy.optimize.minimize(
        objective,
        np.full(NUM_TASKS, 0.5),
        (comparison,),
        method="L-BFGS-B",
        bounds=[(0.0, 1.0)] * NUM_TASKS,
        options={"ftol": 1e-15, "gtol": 1e-10},
    ).x
    assert ((by_scipy[:3] > 0.02) & (by_scipy[:3] < 0.98)).sum() >= 2
    np.testing.assert_allclose(alpha[:3], by_scipy[:3], atol=1e-4)
    assert alpha[3] == 0.0
    descended = fitted(mixing.descent(NUM_TASKS, CONSERVATISM, steps=2000), comparison)
    np.testing.assert_allclose(alpha, descended.alpha, atol=1e-4)


@pytest.mark.parametrize("conservatism", [0.0, 0.05, 0.3])
@pytest.mark.parametrize("seed", range(3))
def test_the_gate_is_the_best_of_all_combinations(seed, conservatism):
    comparison = random_comparison(seed)
    alpha = fitted(mixing.gate(NUM_TASKS, conservatism), comparison).alpha
    best = min(
        itertools.product((0.0, 1.0), repeat=3),  # the fourth has no demonstration
        key=lambda combination: objective(combination, comparison, conservatism),
    )
    np.testing.assert_array_equal(alpha, [*best, 0.0])


def test_descent_is_fit_mixing():
    comparison = random_comparison(3)
    rule = mixing.descent(NUM_TASKS, 0.2, learning_rate=0.3, steps=7)
    start = jnp.array([0.9, 0.1, 0.5, 0.3])
    fit = functools.partial(losses.fit_mixing, learning_rate=0.3, steps=7)
    expected = jax.jit(fit)(start, comparison, 0.2)
    actual = fitted(rule, comparison, start)
    np.testing.assert_array_equal(actual.alpha, expected)


@pytest.mark.parametrize("name", MINIMISERS)
def test_a_policy_that_equals_the_prior_is_not_preferred_to_it(name):
    comparison = random_comparison(4)
    same = comparison._replace(policy_actions=comparison.prior_actions)
    for conservatism in (0.0, 0.1):
        alpha = fitted(rules(conservatism)[name], same).alpha
        np.testing.assert_array_equal(alpha, 0.0)


@pytest.mark.parametrize("name", MINIMISERS)
def test_a_task_without_demonstrations_keeps_its_alpha(name):
    rule = rules()[name]
    start = jnp.full(NUM_TASKS, 0.25)
    alpha = fitted(rule, random_comparison(5), start).alpha
    assert alpha[3] == 0.25
    assert (alpha[:3] != 0.25).all()
    nothing = random_comparison(5)
    nothing = nothing._replace(
        step_mask=jnp.zeros_like(nothing.step_mask),
        demo_mask=jnp.zeros_like(nothing.demo_mask),
    )
    np.testing.assert_array_equal(fitted(rule, nothing, start).alpha, 0.25)


def test_prequential_scores_new_demonstrations_by_the_policy_before_training():
    # One step and one action each; the prior acts 0, so that d = previous and
    # r = expert. Round 1: task 0, d = 2, r = 1. Round 2: task 0, d = 4, r = 4, and
    # task 2, d = 1, r = -3; its judgement of the first demonstration no longer counts.
    def comparison(previous, held):
        def column(values):
            return jnp.asarray(values, jnp.float32)[:, None, None]

        mask = jnp.arange(4) < held
        return mixing.Comparison(
            actions=column([1.0, 4.0, -3.0, 9.0]),
            policy_actions=column([1.0, 4.0, -3.0, 9.0]),  # fits what it is trained on
            previous_actions=column(previous),
            prior_actions=column([0.0] * 4),
            tasks=jnp.zeros((4, 2)),
            task_ids=jnp.array([0, 0, 2, 1]),
            step_mask=mask[:, None],
            demo_mask=mask,
        )

    rule = mixing.prequential(3)
    state = rule.init(jax.random.key(KEY))
    state = rule.update(state, comparison([2.0, 7.0, 7.0, 7.0], held=1))
    np.testing.assert_allclose(state.alpha, [2 / 4, 0.0, 0.0])
    state = rule.update(state, comparison([-50.0, 4.0, 1.0, 7.0], held=3))
    np.testing.assert_allclose(state.alpha, [(2 + 16) / (4 + 16), 0.0, 0.0], 1e-6)
    state = rule.update(state, comparison([5.0, 5.0, 5.0, 7.0], held=3))  # nothing new
    np.testing.assert_allclose(state.alpha, [(2 + 16) / (4 + 16), 0.0, 0.0], 1e-6)


def test_the_network_starts_at_the_prior_and_finds_the_closed_form():
    comparison = random_comparison(6)
    rule = mixing.network(jnp.asarray(TASKS[:3], jnp.float32), CONSERVATISM, steps=1500)
    start = rule.init(jax.random.key(KEY))
    np.testing.assert_allclose(start.alpha, 0.018, atol=1e-3)
    alpha = fitted(rule, comparison).alpha
    exact = fitted(mixing.closed_form(NUM_TASKS, CONSERVATISM), comparison).alpha[:3]
    assert np.ptp(exact) > 0.2
    np.testing.assert_allclose(alpha, exact, atol=0.02)


def test_the_network_judges_tasks_that_are_no_evaluation_tasks():
    # The policy is right where the task is positive, the prior where it is negative.
    rows = 24
    tasks = np.linspace(-1.0, 1.0, rows, dtype=np.float32)[:, None]
    right = tasks[:, None] > 0
    one, zero = np.ones((rows, 1, 1), np.float32), np.zeros((rows, 1, 1), np.float32)
    comparison = mixing.Comparison(
        actions=jnp.asarray(one),
        policy_actions=jnp.asarray(np.where(right, one, zero)),
        previous_actions=jnp.asarray(zero),
        prior_actions=jnp.asarray(np.where(right, zero, one)),
        tasks=jnp.asarray(tasks),
        task_ids=jnp.full(rows, -1),
        step_mask=jnp.ones((rows, 1), bool),
        demo_mask=jnp.ones(rows, bool),
    )
    evaluated = jnp.array([[-0.75], [0.77]])
    rule = mixing.network(evaluated)
    state = fitted(rule, comparison)
    assert state.alpha[0] < 0.1
    assert state.alpha[1] > 0.8
    unknown = rule.weights(state, evaluated, jnp.array([-1, -1]))
    np.testing.assert_allclose(unknown, state.alpha, atol=1e-6)
    # without demonstrations nothing is learned
    blank = comparison._replace(step_mask=jnp.zeros((rows, 1), bool))
    np.testing.assert_array_equal(
        fitted(rule, blank).alpha, rule.init(jax.random.key(KEY)).alpha
    )


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_those_of_each_task(name):
    rule = rules()[name]
    state = fitted(rule, random_comparison(7))
    ids = jnp.array([2, 0, 0, 3])
    tasks = jnp.asarray(TASKS, jnp.float32)[ids]
    weights = rule.weights(state, tasks, ids)
    np.testing.assert_allclose(weights, state.alpha[ids], atol=1e-6)


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"network"}))
def test_other_tasks_trust_the_prior_and_are_not_learned_from(name):
    rule = rules()[name]
    comparison = random_comparison(8)
    state = fitted(rule, comparison)
    weights = rule.weights(state, jnp.zeros((2, NUM_TASKS)), jnp.array([-1, 1]))
    np.testing.assert_array_equal(weights, [0.0, state.alpha[1]])
    other = comparison._replace(  # the padded last row, whose id is -1, is now real
        step_mask=comparison.step_mask.at[-1].set(True),
        demo_mask=comparison.demo_mask.at[-1].set(True),
    )
    np.testing.assert_array_equal(fitted(rule, other).alpha, state.alpha)


@pytest.mark.parametrize("name", NAMES)
def test_unrecorded_steps_do_not_matter(name):
    comparison = random_comparison(9)
    recorded = comparison.step_mask[..., None]
    spoiled = comparison._replace(
        **{
            field: jnp.where(recorded, getattr(comparison, field), value)
            for field, value in [
                ("actions", 1e4),
                ("policy_actions", -1e4),
                ("previous_actions", 3.0),
                ("prior_actions", 7.0),
            ]
        }
    )
    rule = rules()[name]
    np.testing.assert_array_equal(
        fitted(rule, comparison).alpha, fitted(rule, spoiled).alpha
    )


@jax.jit
def two_rounds(first, second):
    """Alpha of every rule after each of two rounds, at evaluation and other tasks."""
    alphas = []
    for rule in rules(conservatism=0.1, steps=20).values():
        state = rule.init(jax.random.key(KEY))
        for comparison in (first, second):
            state = rule.update(state, comparison)
            ids = jnp.array([0, 3, -1])
            others = 1e3 * jnp.ones((3, NUM_TASKS))
            alphas += [state.alpha, rule.weights(state, others, ids)]
    return jnp.concatenate(alphas)


WILD = (0.0, 1e-30, 1e-12, 1e-3, 1.0, 30.0, 1e10, 1e30, np.inf, np.nan)


@hypothesis.settings(max_examples=60, deadline=None, derandomize=True)
@hypothesis.given(
    seed=st.integers(0, 2**16),
    scales=st.lists(st.sampled_from(WILD), min_size=8, max_size=8),
)
def test_alpha_never_leaves_zero_to_one(seed, scales):
    rounds = []
    for i in range(2):
        comparison = random_comparison(seed + i, 1.0, blend=False)
        actions = [x * s for x, s in zip(comparison[:4], scales[4 * i :], strict=False)]
        held = jnp.arange(TASK_IDS.size) < 2 + 3 * i
        rounds.append(
            mixing.Comparison(*actions, *comparison[4:])._replace(
                demo_mask=held, step_mask=comparison.step_mask & held[:, None]
            )
        )
    alphas = two_rounds(*rounds)
    inside = (alphas >= 0) & (alphas <= 1)
    if all(scale <= 1e10 for scale in scales):  # and so finite when squared
        assert inside.all()
    assert (inside | np.isnan(alphas)).all()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: mixing.descent(0), "num_tasks must be a whole number, at least 1"),
        (lambda: mixing.prequential(0), "num_tasks must be a whole number, at least 1"),
        (lambda: mixing.gate(2, -0.1), "conservatism"),
        (lambda: mixing.closed_form(2, float("nan")), "conservatism"),
        (lambda: mixing.descent(2, learning_rate=0.0), "learning_rate"),
        (lambda: mixing.network(jnp.zeros((2, 3)), steps=-1), "steps"),
        (lambda: mixing.network(jnp.zeros((2, 3)), features=(4, 0)), "features"),
        (lambda: mixing.descent(2, float("inf")), "conservatism"),
        (lambda: mixing.descent(2, learning_rate=float("inf")), "learning_rate"),
    ],
)
def test_arguments_outside_their_domain_are_refused(build, message):
    with pytest.raises(errors.InvalidArgumentError, match=message):
        build()
