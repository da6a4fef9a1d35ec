"""The contract of selectors: whatever is registered passes every test here."""

import functools
import inspect
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from amf_jax import candidates, embeddings, errors, selectors, validation
from amf_jax import demonstrations as demonstrations_lib
from amf_jax.posterior import Posterior
from amf_jax.posterior.moments import MomentPosterior
from amf_jax.selectors import Selector
from tests import problems

POLICY = problems.unit_policy()  # padding holds zeros, of which it makes NaN
EMBEDDING = embeddings.last_layer_gradient(POLICY.last_layer)
WARM_ROUNDS = 2


def sample_tasks(key, count):
    return jax.random.uniform(key, (count, problems.TASK_SIZE), minval=-1.0)


def drop_inputs(params, key, observation, task, rate):
    """The policy's action with some of what it makes of its inputs left out."""
    inputs = jnp.concatenate([problems.unit(observation), problems.unit(task)])
    kept = jax.random.bernoulli(key, 1.0 - rate, inputs.shape)
    size = observation.shape[0]
    left = jnp.where(kept, inputs / (1.0 - rate), 0.0)
    return problems.tiny_policy().act(params, None, left[:size], left[size:])


DROPOUT = embeddings.dropout(drop_inputs, rate=0.3, passes=8)

#: Options that a registered selector is tested with besides its defaults.
OPTIONS = {
    "amf": {
        "shooting": dict(optimiser=candidates.random_shooting(sample_tasks, 5)),
        "entropy": dict(criterion="entropy"),
        "deterministic": dict(weights="deterministic"),
        "off": dict(weights="off"),
        "feature": dict(
            embedding=embeddings.last_layer_feature(POLICY.last_layer),
            execution=selectors.Execution("function"),
        ),
        "dropout": dict(embedding=DROPOUT),
    },
    "prior_entropy": {
        "dropout": dict(
            embedding=DROPOUT, condition_on_history=False, frozen_embeddings=False
        ),
    },
}
#: Parameters that a variant does not look at: weights without a likelihood, and the
#: features of a linear policy, which are its inputs.
UNREAD = {
    "deterministic": "params",
    "off": "params",
    "feature": "embedding_params",
}
#: Options without which a registered selector is refused, from the number of tasks.
REQUIRED = {
    "rebalancing": lambda num_tasks: dict(pretraining_counts=(1,) * num_tasks),
}
VARIANTS = [
    (name, variant)
    for name in selectors.SELECTORS
    for variant in (None, *OPTIONS.get(name, {}))
]
COLD_CASES = [(*variant, False) for variant in VARIANTS]
CASES = COLD_CASES + [(name, None, True) for name in selectors.SELECTORS]


def make(name, variant=None, num_tasks=3) -> Selector:
    required = REQUIRED.get(name, lambda num_tasks: {})(num_tasks)
    options = dict(OPTIONS[name][variant]) if variant else {}
    embedding = options.pop("embedding", EMBEDDING)
    return selectors.make(name, embedding, POLICY.log_likelihood, **required, **options)


def tiny_context(seed=0, task_ids=(0, 1, 0, 2), *, num_tasks=3, capacity=6, **options):
    """A selection problem with an evaluation before, and one after, every round."""
    context = problems.tiny_context(
        seed, task_ids, num_tasks=num_tasks, capacity=capacity, **options
    )
    evaluations = np.full((capacity + 1, num_tasks), np.nan)
    rng = np.random.default_rng((seed, 3))
    for index in range(len(task_ids) + 1):
        evaluations[index] = rng.uniform(size=num_tasks)
    return context._replace(evaluations=jnp.asarray(evaluations, context.tasks.dtype))


class Case(NamedTuple):
    """A selector, its jitted `select`, and how often that was traced so far."""

    selector: Selector
    select: Callable
    traces: list


@functools.cache
def build(case, num_tasks=3) -> Case:
    """The selector of a case, shared by all tests so that it is compiled once."""
    name, variant, warm = case
    selector = make(name, variant, num_tasks)
    if warm:
        selector = selectors.warm_start(selector, WARM_ROUNDS)
    traces = []

    def select(key, state, context):
        traces.append(1)
        return selector.select(key, state, context)

    return Case(selector, jax.jit(select), traces)


def describe(case):
    name, variant, warm = case
    return "-".join(filter(None, [name, variant, "warm" if warm else None]))


every_case = pytest.mark.parametrize("case", CASES, ids=describe)
#: One per rule, for what costs most and depends on options least.
plain_case = pytest.mark.parametrize(
    "case", [case for case in COLD_CASES if case[1] is None], ids=describe
)
#: Without the cases that score other candidates after every draw.
ENUMERATING = [case for case in CASES if case[1] != "shooting"]
enumerating_case = pytest.mark.parametrize("case", ENUMERATING, ids=describe)
#: Those of them that rank the tasks by a model, and draw nothing.
ranking_case = pytest.mark.parametrize(
    "case",
    [case for case in ENUMERATING if selectors.get(case[0]).needs_model],
    ids=describe,
)


def key(*data):
    """A new key for every call: tests select twice with the same one."""
    return functools.reduce(jax.random.fold_in, data, jax.random.key(0))


def select_active(case, context, seed=0):
    """A selection behind the warm start, if there is one."""
    selector, select, _ = build(case)
    state = selector.init(context)
    for index in range(WARM_ROUNDS if case[2] else 0):
        _, state, _ = select(key(99, index), state, context)
    choice, state, info = select(key(seed), state, context)
    return choice, state, selectors.diagnostics(info)


def assert_told(actual, expected, tasks=slice(None), demos=slice(None)):
    """The same diagnostics, as far as a rule has any, of some tasks and rows."""
    for name, one, other in (
        ("scores", lambda x: x, lambda x: x[tasks]),
        ("effective_sample_size", lambda x: x, lambda x: x[tasks]),
        ("importance_weights", lambda x: x[:, :6], lambda x: x[tasks][:, demos]),
    ):
        if hasattr(expected, name):
            found, wanted = getattr(actual, name), getattr(expected, name)
            np.testing.assert_allclose(one(found), other(wanted), 1e-4)


def assert_same(actual, expected, rtol=1e-4, atol=1e-5):
    def compare(one, other):
        assert one.dtype == other.dtype
        if jnp.issubdtype(one.dtype, jnp.floating):
            np.testing.assert_allclose(one, other, rtol, atol)
        else:
            np.testing.assert_array_equal(one, other)

    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    jax.tree.map(compare, actual, expected)


def stack(trees):
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def rows(demos, start, stop):
    """Some of the rows, as a buffer of their own."""
    return jax.tree.map(lambda leaf: leaf[start:stop], demos)


def holds_posterior(node):
    return isinstance(node, Posterior | MomentPosterior)


def with_noise(state, value):
    """The same state with another noise variance, wherever it holds a posterior."""

    def replace(node):
        if not holds_posterior(node):
            return node
        return node._replace(noise_variance=jnp.full_like(node.noise_variance, value))

    return jax.tree.map(replace, state, is_leaf=holds_posterior)


@plain_case
def test_jit_matches_eager(case):
    selector, select, _ = build(case)
    context = tiny_context()
    state = selector.init(context)
    eager = selector.select(key(1), state, context)
    assert_same(select(key(1), state, context), eager)


@every_case
def test_history_is_a_keyword(case):
    context, history = tiny_context(), tiny_context(1).demos
    selector = build(case).selector
    if selectors.get(case[0]).needs_model and not selector.frozen_embeddings:
        history = None  # embeddings that move have none
    init = selector.init
    assert [*inspect.signature(init).parameters] == ["context", "history"]
    by_name = init(context, history=history)
    assert_same(by_name, init(context, history))


@every_case
def test_vmapped_scans_over_rounds_match_a_loop(case):
    selector, select, _ = build(case)
    contexts = [tiny_context(seed, (0, 1)) for seed in range(2)]
    arriving = [
        problems.tiny_demos(seed + 5, (2, 0, 1, 2), tasks=contexts[seed].tasks)
        for seed in range(2)
    ]

    def scanned(seed, context, arriving):
        def step(carry, index):
            state, demos = carry
            now = context._replace(demos=demos)
            choice, state, info = selector.select(key(seed, index), state, now)
            new = jax.tree.map(lambda leaf: leaf[index][None], arriving)
            return (state, demonstrations_lib.append(demos, new)), (choice, info)

        start = selector.init(context), context.demos
        return jax.lax.scan(step, start, jnp.arange(4))

    def looped(seed, context, arriving):
        state, demos = selector.init(context), context.demos
        outputs = []
        for index in range(4):
            now = context._replace(demos=demos)
            choice, state, info = select(key(seed, index), state, now)
            demos = demonstrations_lib.append(demos, rows(arriving, index, index + 1))
            outputs.append((choice, info))
        return (state, demos), stack(outputs)

    mapped = jax.jit(jax.vmap(scanned))(jnp.arange(2), stack(contexts), stack(arriving))
    each = [looped(*args) for args in zip(range(2), contexts, arriving, strict=True)]
    assert_same(mapped, stack(each))


@every_case
def test_nothing_is_compiled_twice(case):
    selector, select, traces = build(case)
    context = tiny_context()
    _, state, _ = select(key(0), selector.init(context), context)
    before = len(traces)
    for index, task_ids in enumerate([(0, 1, 2), (0, 1, 2, 1), (0, 1, 2, 1, 0)]):
        context = tiny_context(task_ids=task_ids)
        _, state, _ = select(key(index), state, context)
    context = tiny_context(task_ids=(0, 1, 2, 1, 0, 2))
    _, _, quiet = select(key(9), with_noise(state, 0.01), context)
    _, _, loud = select(key(9), with_noise(state, 100.0), context)
    assert len(traces) == before
    held = jax.tree.leaves(state, is_leaf=holds_posterior)
    # the entropy of a block that nothing is conditioned on has no noise in it
    if any(map(holds_posterior, held)) and case[:2] != ("prior_entropy", "dropout"):
        quiet, loud = map(selectors.diagnostics, (quiet, loud))
        assert not np.allclose(quiet.scores, loud.scores)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "case", [case for case in COLD_CASES if case[1] in (None, "dropout")], ids=describe
)
def test_the_dtype_of_the_problem_is_kept(case, dtype):
    name, variant, _ = case
    with jax.enable_x64(True):
        context = tiny_context(dtype=jnp.dtype(dtype))
        selector = selectors.warm_start(make(name, variant), 1)
        state = jax.eval_shape(selector.init, context)  # types need no compiling
        choice, after, info = jax.eval_shape(selector.select, key(0), state, context)
    for leaf, before in zip(*map(jax.tree.leaves, (after, state)), strict=True):
        assert leaf.dtype == before.dtype
    floats = {
        str(leaf.dtype)
        for leaf in jax.tree.leaves((choice, after, info))
        if jnp.issubdtype(leaf.dtype, jnp.floating)
    }
    assert floats == {dtype}
    assert choice.task_id.dtype == jnp.int32


@enumerating_case
def test_padding_has_no_influence(case):
    small, _, small_info = select_active(case, tiny_context(capacity=6))
    context = tiny_context(capacity=9)
    large, _, info = select_active(case, with_padding(context, 50.0))
    assert_same(large, small)
    assert_told(info, small_info)


@enumerating_case
def test_padding_may_hold_nan(case):
    context = tiny_context()
    validation.validate(with_padding(context, np.nan).demos)
    choice, _, info = select_active(case, context)
    other, _, other_info = select_active(case, with_padding(context, np.nan))
    assert_same(other, choice)
    assert_told(other_info, info)


def with_padding(context, value):
    """The same problem with `value` wherever nothing was recorded."""
    demos = context.demos
    recorded = demonstrations_lib.valid_steps(demos)[..., None]
    demos = demos._replace(
        observations=jnp.where(recorded, demos.observations, value),
        actions=jnp.where(recorded, demos.actions, value),
        tasks=jnp.where(demos.demo_mask[:, None], demos.tasks, value),
    )
    return context._replace(demos=demos)


@enumerating_case
def test_the_order_of_demonstrations_has_no_influence(case):
    context = tiny_context()
    order = np.array([2, 0, 3, 1, 4, 5])  # the last two are padding
    shuffled = jax.tree.map(lambda leaf: leaf[order], context.demos)
    choice, _, info = select_active(case, context)
    other, _, other_info = select_active(case, context._replace(demos=shuffled))
    assert_same(other, choice)
    assert_told(other_info, info, demos=order)


@enumerating_case
def test_the_order_of_tasks_has_no_influence(case):
    context = tiny_context()
    order = np.array([2, 0, 1])
    renamed = np.argsort(order)[context.demos.task_ids]
    shuffled = context._replace(
        tasks=context.tasks[order],
        task_weights=context.task_weights[order],
        evaluations=context.evaluations[:, order],
        demos=context.demos._replace(
            task_ids=jnp.where(context.demos.demo_mask, jnp.int32(renamed), -1)
        ),
    )
    choice, _, info = select_active(case, context)
    other, _, other_info = select_active(case, shuffled)
    assert_told(other_info, info, tasks=order)
    if selectors.get(case[0]).needs_model:  # a draw depends on the order
        np.testing.assert_allclose(other.task, choice.task)
        assert order[other.task_id] == choice.task_id


@pytest.mark.parametrize(
    ("case", "num_tasks"),
    [(case, 3) for case in CASES]
    + [((name, None, False), 1) for name in selectors.SELECTORS],
)
def test_what_is_picked_exists_and_scores_best(case, num_tasks):
    selector, select, _ = build(case, num_tasks)
    for seed in range(3):
        # deterministic weights need a demonstration of every task
        shown = range(num_tasks) if case[1] == "deterministic" else (0, num_tasks - 1)
        context = tiny_context(seed, tuple(shown), num_tasks=num_tasks)
        state = selector.init(context)
        for index in range(WARM_ROUNDS + 1):
            choice, state, info = select(key(seed, index), state, context)
            selectors.check_choice(choice, info)
            if case[1] == "shooting":
                assert choice.task_id == -1
            else:
                assert 0 <= choice.task_id < num_tasks
                np.testing.assert_array_equal(
                    choice.task, context.tasks[choice.task_id]
                )
            told = selectors.diagnostics(info)
            assert (told is None) or index >= WARM_ROUNDS * case[2]
            if selectors.get(case[0]).needs_model and told is not None:
                best = told.candidates[np.argmax(told.scores)]
                np.testing.assert_array_equal(choice.task, best)


@ranking_case
def test_a_model_gives_every_task_a_score(case):
    _, _, info = select_active(case, tiny_context())
    assert np.isfinite(info.scores).all()
    assert len(np.unique(info.scores)) == 3


@ranking_case
def test_broken_parameters_are_never_ranked(case):
    context = tiny_context()
    for field in ("params", "embedding_params"):
        broken = jax.tree.map(lambda x: x.at[0].set(jnp.nan), getattr(context, field))
        choice, _, info = select_active(case, context._replace(**{field: broken}))
        if field == UNREAD.get(case[1]):
            assert_same((choice, info), select_active(case, context)[::2])
            continue
        assert choice.task_id == -1
        assert np.isnan(choice.task).all()
        with pytest.raises(errors.SelectionError, match="NaN") as raised:
            selectors.check_choice(choice, info)
        assert raised.type is errors.SelectionError  # it is no task's fault


@ranking_case
def test_without_any_demonstration_nothing_is_ranked(case):
    context = tiny_context()
    nothing = jnp.zeros_like(context.demos.demo_mask)
    empty = context._replace(demos=context.demos._replace(demo_mask=nothing))
    choice, _, info = select_active(case, empty)
    assert choice.task_id == -1
    with pytest.raises(errors.SelectionError, match="demonstration"):
        selectors.check_choice(choice, info)


@pytest.mark.parametrize("num_tasks", [2, 5])
def test_uniform_draws_every_task_equally_often(num_tasks):
    context = tiny_context(num_tasks=num_tasks, task_ids=(0, 1))
    selector = selectors.uniform()
    keys = jax.random.split(key(0), 2000)
    choices, _, _ = jax.vmap(lambda key: selector.select(key, (), context))(keys)
    counts = np.bincount(choices.task_id, minlength=num_tasks)
    assert counts.size == num_tasks
    assert scipy.stats.chisquare(counts).pvalue > 0.01


def test_round_robin_goes_through_the_tasks_again_and_again():
    selector, select, _ = build(("round_robin", None, False))
    context = tiny_context()
    state, asked = selector.init(context), []
    for index in range(7):
        choice, state, _ = select(key(index), state, context)
        asked.append(int(choice.task_id))
    assert asked == [0, 1, 2, 0, 1, 2, 0]


def test_unknown_selectors_are_refused_with_the_nearest_name():
    with pytest.raises(errors.UnknownNameError, match="Did you mean 'uniform'"):
        selectors.make("unifrom")


@pytest.mark.parametrize(
    "flag", ["condition_on_history", "frozen_embeddings", "normalise_kernel"]
)
@pytest.mark.parametrize("value", ["false", None, np.nan])
def test_options_that_are_no_booleans_are_refused(flag, value):
    # Without the annotations, which only tests check.
    amf = inspect.unwrap(selectors.amf)
    with pytest.raises(errors.InvalidArgumentError, match=f"{flag} must be True or F"):
        amf(EMBEDDING, POLICY.log_likelihood, **{flag: value})


@pytest.mark.parametrize("name", [None, 1, ["amf"]])
def test_what_is_no_name_is_an_unknown_selector(name):
    with pytest.raises(errors.UnknownNameError, match="unknown selector"):
        inspect.unwrap(selectors.get)(name)


def test_a_warm_start_wants_a_selector():
    with pytest.raises(errors.InvalidArgumentError, match="must be a Selector"):
        inspect.unwrap(selectors.warm_start)("uniform", 3)
