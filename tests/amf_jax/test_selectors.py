"""The contract of selectors: whatever is registered passes every test of part one.

Part two holds what is particular to one selector: its scores against a transcription
of the formulas in NumPy, its options and its errors.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from amf_jax import candidates, embeddings, errors, posterior, selectors
from amf_jax import demonstrations as demonstrations_lib
from amf_jax.posterior import Posterior
from amf_jax.selectors import Choice, Selector
from tests import problems

POLICY = problems.tiny_policy()
EMBEDDING = embeddings.last_layer_gradient(POLICY.last_layer)
WARM_ROUNDS = 2


def sample_tasks(key, count):
    return jax.random.uniform(key, (count, problems.TASK_SIZE), minval=-1.0)


#: Options that a registered selector is tested with besides its defaults.
OPTIONS = {
    "amf": {"shooting": dict(optimiser=candidates.random_shooting(sample_tasks, 5))},
}
VARIANTS = [
    (name, variant)
    for name in selectors.SELECTORS
    for variant in (None, *OPTIONS.get(name, {}))
]
CASES = [(*variant, False) for variant in VARIANTS]
CASES += [(name, None, True) for name in selectors.SELECTORS]


@pytest.fixture(autouse=True, scope="module")
def compile_quickly():
    """Nearly all of the time goes into compiling programs that run once or twice."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def make(name, **options) -> Selector:
    return selectors.make(name, EMBEDDING, POLICY.log_likelihood, **options)


class Case(NamedTuple):
    """A selector, its jitted `select`, and how often that was traced so far."""

    selector: Selector
    select: Callable
    traces: list


@functools.cache
def build(case) -> Case:
    """The selector of a case, shared by all tests so that it is compiled once."""
    name, variant, warm = case
    selector = make(name, **(OPTIONS[name][variant] if variant else {}))
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
#: Without the cases that score other candidates after every draw.
enumerating_case = pytest.mark.parametrize(
    "case", [case for case in CASES if case[1] != "shooting"], ids=describe
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
    return select(key(seed), state, context)


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
    return isinstance(node, Posterior)


def with_noise(state, value):
    """The same state with another noise variance, wherever it holds a posterior."""

    def replace(node):
        if not holds_posterior(node):
            return node
        return node._replace(noise_variance=jnp.full_like(node.noise_variance, value))

    return jax.tree.map(replace, state, is_leaf=holds_posterior)


# Part one: every selector.


@every_case
def test_jit_matches_eager(case):
    selector, select, _ = build(case)
    context = problems.tiny_context()
    for state in (selector.init(context), after_warm_start(case, context)):
        jitted = select(key(1), state, context)
        assert_same(jitted, selector.select(key(1), state, context))


def after_warm_start(case, context):
    selector, select, _ = build(case)
    state = selector.init(context)
    for index in range(WARM_ROUNDS):
        _, state, _ = select(key(99, index), state, context)
    return state


@every_case
def test_vmapped_scans_over_rounds_match_a_loop(case):
    selector, select, _ = build(case)
    contexts = [problems.tiny_context(seed, (0, 1)) for seed in range(2)]
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
    context = problems.tiny_context()
    _, state, _ = select(key(0), selector.init(context), context)
    before = len(traces)
    for index, task_ids in enumerate([(0, 1, 2), (0, 1, 2, 1), (0, 1, 2, 1, 0)]):
        context = problems.tiny_context(task_ids=task_ids)
        _, state, _ = select(key(index), state, context)
    _, _, quiet = select(key(9), with_noise(state, 0.01), context)
    _, _, loud = select(key(9), with_noise(state, 100.0), context)
    assert len(traces) == before
    if any(map(holds_posterior, jax.tree.leaves(state, is_leaf=holds_posterior))):
        assert not np.allclose(quiet.scores, loud.scores)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", selectors.SELECTORS)
def test_the_dtype_of_the_problem_is_kept(name, dtype):
    with jax.enable_x64(True):
        context = problems.tiny_context(dtype=jnp.dtype(dtype))
        selector = selectors.warm_start(make(name), 1)
        state = selector.init(context)
        select = jax.jit(selector.select)
        for index in range(2):
            before = state
            choice, state, info = select(key(index), state, context)
            assert jax.tree.map(jnp.result_type, state) == jax.tree.map(
                jnp.result_type, before
            )
            floats = {
                str(leaf.dtype)
                for leaf in jax.tree.leaves((choice, state, info))
                if jnp.issubdtype(leaf.dtype, jnp.floating)
            }
            assert floats == {dtype}
        assert choice.task_id.dtype == jnp.int32


@enumerating_case
def test_padding_has_no_influence(case):
    small, _, small_info = select_active(case, problems.tiny_context(capacity=6))
    context = problems.tiny_context(capacity=9)
    large, _, info = select_active(case, with_padding(context, 50.0))
    if np.isfinite(info.scores).all():  # a draw differs with the shapes
        assert_same(large, small)
    np.testing.assert_allclose(info.scores, small_info.scores, 1e-4)
    np.testing.assert_allclose(
        info.effective_sample_size, small_info.effective_sample_size, 1e-4
    )
    np.testing.assert_allclose(
        info.importance_weights[:, :4], small_info.importance_weights[:, :4], 1e-4
    )


@enumerating_case
def test_padding_may_hold_nan(case):
    context = problems.tiny_context()
    demonstrations_lib.validate(with_padding(context, np.nan).demos)
    choice, _, info = select_active(case, context)
    other, _, other_info = select_active(case, with_padding(context, np.nan))
    assert_same(other, choice)
    np.testing.assert_allclose(other_info.scores, info.scores, 1e-4)


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
    context = problems.tiny_context()
    order = np.array([2, 0, 3, 1, 4, 5])  # the last two are padding
    shuffled = jax.tree.map(lambda leaf: leaf[order], context.demos)
    choice, _, info = select_active(case, context)
    other, _, other_info = select_active(case, context._replace(demos=shuffled))
    assert_same(other, choice)
    np.testing.assert_allclose(other_info.scores, info.scores, 1e-4)
    np.testing.assert_allclose(
        other_info.importance_weights, info.importance_weights[:, order], 1e-4
    )


@enumerating_case
def test_the_order_of_tasks_has_no_influence(case):
    context = problems.tiny_context()
    order = np.array([2, 0, 1])
    renamed = np.argsort(order)[context.demos.task_ids]
    shuffled = context._replace(
        tasks=context.tasks[order],
        task_weights=context.task_weights[order],
        demos=context.demos._replace(
            task_ids=jnp.where(context.demos.demo_mask, jnp.int32(renamed), -1)
        ),
    )
    choice, _, info = select_active(case, context)
    other, _, other_info = select_active(case, shuffled)
    np.testing.assert_allclose(other_info.scores, info.scores[order], 1e-4)
    if np.isfinite(info.scores).all():  # a draw depends on the order, a ranking not
        np.testing.assert_allclose(other.task, choice.task)
        assert order[other.task_id] == choice.task_id


@pytest.mark.parametrize("num_tasks", [1, 3])
@every_case
def test_what_is_picked_exists_and_scores_best(case, num_tasks):
    selector, select, _ = build(case)
    for seed in range(3):
        context = problems.tiny_context(seed, (0, num_tasks - 1), num_tasks=num_tasks)
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
            if np.isfinite(info.scores).all():
                best = info.candidates[np.argmax(info.scores)]
                np.testing.assert_array_equal(choice.task, best)


@enumerating_case
def test_broken_parameters_are_never_ranked(case):
    context = problems.tiny_context()
    _, _, info = select_active(case, context)
    if not np.isfinite(info.scores).all():
        return  # scores nothing, and so depends on no parameter
    for field in ("params", "embedding_params"):
        broken = jax.tree.map(lambda x: x.at[0].set(jnp.nan), getattr(context, field))
        choice, _, info = select_active(case, context._replace(**{field: broken}))
        assert choice.task_id == -1
        assert np.isnan(choice.task).all()
        with pytest.raises(errors.SelectionError, match="NaN") as raised:
            selectors.check_choice(choice, info)
        assert raised.type is errors.SelectionError  # it is no task's fault


@enumerating_case
def test_without_any_demonstration_nothing_is_ranked(case):
    context = problems.tiny_context()
    _, _, info = select_active(case, context)
    if not np.isfinite(info.scores).all():
        return  # needs none
    nothing = jnp.zeros_like(context.demos.demo_mask)
    empty = context._replace(demos=context.demos._replace(demo_mask=nothing))
    choice, _, info = select_active(case, empty)
    assert choice.task_id == -1
    with pytest.raises(errors.SelectionError, match="demonstration"):
        selectors.check_choice(choice, info)


# Part two: uniform.


@pytest.mark.parametrize("num_tasks", [2, 5])
def test_uniform_draws_every_task_equally_often(num_tasks):
    context = problems.tiny_context(num_tasks=num_tasks, task_ids=(0, 1))
    selector = selectors.uniform()
    keys = jax.random.split(key(0), 2000)
    choices, _, _ = jax.vmap(lambda key: selector.select(key, (), context))(keys)
    counts = np.bincount(choices.task_id, minlength=num_tasks)
    assert counts.size == num_tasks
    assert scipy.stats.chisquare(counts).pvalue > 0.01


# Part two: amf.


def transcription(context, candidate_tasks, candidate_ids, criterion, weights, history):
    """Scores of appendix C, sum by sum, in NumPy with explicit embeddings."""
    context = jax.tree.map(np.asarray, context)
    demos, mu = context.demos, context.task_weights
    held = np.flatnonzero(demos.demo_mask)
    steps = [np.flatnonzero(demos.step_mask[i]) for i in held]

    def act(params, s, c):
        return np.concatenate([s, c]) @ params["kernel"] + params["bias"]

    def embed(i, t, c):
        """d |W'[s, c] + b - a|^2 / d (W, b), written out."""
        s, a = demos.observations[i, t], demos.actions[i, t]
        residual = 2.0 * (act(context.embedding_params, s, c) - a)
        return np.outer(np.concatenate([s, c, [1.0]]), residual).ravel()

    def block(i, c):
        return np.array([embed(i, t, c) for t in steps[list(held).index(i)]])

    def log_likelihood(i, c):
        return sum(
            -0.5 * ((a - act(context.params, s, c)) ** 2 + np.log(2 * np.pi)).sum()
            for s, a in zip(
                demos.observations[i][demos.step_mask[i]],
                demos.actions[i][demos.step_mask[i]],
                strict=True,
            )
        )

    def weigh(tasks, ids):
        if weights == "off":
            return np.full((len(tasks), held.size), 1.0 / held.size)
        if weights == "deterministic":
            own = np.array([demos.task_ids[held] == k for k in ids], float)
            return own / own.sum(axis=1, keepdims=True)
        w = np.zeros((len(tasks), held.size))
        for k, c in enumerate(tasks):
            for n, i in enumerate(held):
                mixture = np.mean(
                    [np.exp(log_likelihood(i, demos.tasks[j])) for j in held]
                )
                w[k, n] = np.exp(log_likelihood(i, c)) / mixture
        if weights == "plain":
            return w / held.size
        return w / w.sum(axis=1, keepdims=True)

    evaluation = weigh(context.tasks, range(len(mu)))
    points = [
        (mu[k] * evaluation[k, n], phi)
        for k, c in enumerate(context.tasks)
        for n, i in enumerate(held)
        for phi in block(i, c)
    ]
    mass = np.array([w for w, _ in points])
    occupancy = np.array([phi for _, phi in points])
    scale = (mass * (occupancy**2).sum(axis=1)).sum() / mass.sum()

    def variance(at, given):
        prior = (at**2).sum(axis=1) / scale
        if not len(given):
            return prior
        gram = given @ given.T / scale + np.eye(len(given))
        cross = given @ at.T / scale
        return prior - (cross * np.linalg.solve(gram, cross)).sum(axis=0)

    known = [block(i, demos.tasks[i]) for i in held] if history else []
    known = np.concatenate(known) if history else np.zeros((0, occupancy.shape[1]))
    scores = np.zeros(len(candidate_tasks))
    blocks = weigh(candidate_tasks, candidate_ids)
    for k, c in enumerate(candidate_tasks):
        for n, i in enumerate(held):
            candidate = block(i, c)
            both = np.concatenate([known, candidate])
            if criterion == "prior_entropy":
                left = variance(candidate, known)
                value = 0.5 * np.log(2 * np.pi * np.e * left).sum()
            elif criterion == "entropy":
                left = variance(occupancy, both)
                value = -(mass * 0.5 * np.log(2 * np.pi * np.e * left)).sum()
            else:
                reduction = variance(occupancy, known) - variance(occupancy, both)
                value = (mass * reduction).sum()
            scores[k] += blocks[k, n] * value
    return scores, evaluation


@pytest.mark.parametrize(
    ("criterion", "weights", "history"),
    [
        ("variance", "self_normalised", True),
        ("variance", "self_normalised", False),
        ("entropy", "self_normalised", True),
        ("entropy", "deterministic", False),
        ("prior_entropy", "off", True),
        ("prior_entropy", "plain", False),
        ("variance", "plain", True),
        ("variance", "deterministic", True),
        ("variance", "off", True),
    ],
)
def test_amf_scores_are_those_of_appendix_c(criterion, weights, history):
    with jax.enable_x64(True):
        context = problems.tiny_context(dtype=jnp.float64)
        selector = make(
            "amf", criterion=criterion, weights=weights, condition_on_history=history
        )
        choice, _, info = jax.jit(selector.select)(
            key(0), selector.init(context), context
        )
        scores, evaluation = transcription(
            context, context.tasks, range(3), criterion, weights, history
        )
        np.testing.assert_allclose(info.scores, scores, 1e-9)
        np.testing.assert_allclose(info.importance_weights[:, :4], evaluation, 1e-9)
        assert choice.task_id == np.argmax(scores)


def test_amf_paper_has_plain_weights_and_no_history():
    context = problems.tiny_context()
    _, _, info = select_active(("amf_paper", None, False), context)
    scores, _ = transcription(context, context.tasks, None, "variance", "plain", False)
    np.testing.assert_allclose(info.scores, scores, 1e-4)


def test_continuous_candidates_are_scored_like_any_task():
    drawn = sample_tasks(key(8), 5)
    optimiser = candidates.random_shooting(lambda key, count: drawn[:count], 5)
    selector = make("amf", optimiser=optimiser)
    context = problems.tiny_context()
    choice, _, info = selector.select(key(0), selector.init(context), context)
    scores, _ = transcription(context, drawn, None, "variance", "self_normalised", True)
    np.testing.assert_allclose(info.scores, scores, 1e-4)
    assert choice.task_id == -1
    np.testing.assert_array_equal(choice.task, drawn[np.argmax(scores)])


def run_rounds(selector, context, counts):
    """Selects when the first `counts[r]` demonstrations are at hand, round by round."""
    select = jax.jit(selector.select)
    state = selector.init(context)
    states, infos = [], []
    for count in counts:
        mask = context.demos.demo_mask & (jnp.arange(6) < count)
        now = context._replace(demos=context.demos._replace(demo_mask=mask))
        _, state, info = select(key(0), state, now)
        states.append(state)
        infos.append(info)
    return states, infos


def test_rounds_one_by_one_equal_all_at_once():
    context = problems.tiny_context(task_ids=(0, 1, 0, 2, 2))
    selector = make("amf", normalise_kernel=False)
    states, infos = run_rounds(selector, context, [1, 2, 4, 5])
    (batch,), (info,) = run_rounds(selector, context, [5])
    assert_same(states[-1], batch)
    np.testing.assert_allclose(infos[-1].scores, info.scores, 1e-4)


def test_the_scale_is_set_once_with_frozen_embeddings_only():
    context = problems.tiny_context(task_ids=(0, 1, 0, 2, 2))
    frozen, _ = run_rounds(make("amf"), context, [1, 3, 5])
    assert len({float(state.posterior.scale) for state in frozen}) == 1
    moving = make("amf", frozen_embeddings=False)
    states, infos = run_rounds(moving, context, [1, 3, 5])
    assert len({float(state.posterior.scale) for state in states}) == 3
    (batch,), (info,) = run_rounds(moving, context, [5])
    assert_same(states[-1], batch)
    np.testing.assert_allclose(infos[-1].scores, info.scores, 1e-4)


def test_uncertainty_never_grows_with_demonstrations():
    context = problems.tiny_context(task_ids=(0, 1, 0, 2, 2))
    states, _ = run_rounds(make("amf"), context, [1, 2, 3, 4, 5])
    points = embeddings.embed_relabelled(
        EMBEDDING, context.embedding_params, None, context.demos, context.tasks
    )
    variances = np.array(
        [
            posterior.variance(
                EMBEDDING.kernel, EMBEDDING.diagonal, state.posterior, points
            )
            for state in states
        ]
    )
    assert (variances >= 0).all()
    assert (np.diff(variances, axis=0) <= 1e-5 * variances[:-1].max()).all()
    assert variances[-1].sum() < 0.8 * variances[0].sum()


def test_pretraining_history_counts_like_demonstrations():
    context = problems.tiny_context(task_ids=(0, 1, 0, 2))
    selector = make("amf", normalise_kernel=False)
    history = rows(context.demos, 0, 2)
    rest = rows(context.demos, 2, 4)
    with_history = selector.init(context._replace(demos=rest), history)
    alone = selector.init(context._replace(demos=history))
    _, alone, _ = selector.select(key(0), alone, context._replace(demos=history))
    points = embeddings.embed_relabelled(
        EMBEDDING, context.embedding_params, None, context.demos, context.tasks
    )
    known, expected = (
        posterior.variance(
            EMBEDDING.kernel, EMBEDDING.diagonal, state.posterior, points
        )
        for state in (with_history, alone)
    )
    np.testing.assert_allclose(known, expected, 1e-4, 1e-5)
    # and a selection conditions on both
    _, after, _ = selector.select(key(0), with_history, context._replace(demos=rest))
    (batch,), _ = run_rounds(selector, context, [4])
    np.testing.assert_allclose(
        *(
            posterior.variance(
                EMBEDDING.kernel, EMBEDDING.diagonal, state.posterior, points
            )
            for state in (after, batch)
        ),
        1e-4,
        1e-5,
    )


@pytest.mark.parametrize("blocks_at_a_time", [1, 5, 12, 1000])
def test_scores_do_not_depend_on_how_many_blocks_are_scored_at_once(blocks_at_a_time):
    context = problems.tiny_context()
    selector = make("amf", blocks_at_a_time=blocks_at_a_time)
    _, _, info = selector.select(key(0), selector.init(context), context)
    _, _, expected = select_active(("amf", None, False), context)
    np.testing.assert_allclose(info.scores, expected.scores, 1e-5)


@pytest.mark.parametrize("samples", [6, 7])
def test_a_sample_as_large_as_the_buffer_is_all_of_it(samples):
    context = problems.tiny_context()
    selector = make("amf", trajectory_samples=samples)
    _, _, info = selector.select(key(0), selector.init(context), context)
    _, _, expected = select_active(("amf", None, False), context)
    np.testing.assert_allclose(info.scores, expected.scores, 1e-5)


def test_a_sample_that_holds_all_demonstrations_scores_like_all_of_them():
    context = problems.tiny_context()
    selector = make("amf", trajectory_samples=4)
    _, _, info = selector.select(key(0), selector.init(context), context)
    _, _, expected = select_active(("amf", None, False), context)
    np.testing.assert_allclose(info.scores, expected.scores, 1e-4)
    np.testing.assert_allclose(
        info.importance_weights, expected.importance_weights, 1e-4
    )


def test_a_sample_is_drawn_anew_from_the_demonstrations_at_hand():
    context = problems.tiny_context()
    selector = make("amf", trajectory_samples=2)
    state, select = selector.init(context), jax.jit(selector.select)
    used = set()
    for seed in range(8):
        _, _, info = select(key(seed), state, context)
        columns = np.flatnonzero((info.importance_weights > 0).any(axis=0))
        assert columns.size <= 2
        assert set(columns) <= {0, 1, 2, 3}
        assert (info.effective_sample_size <= 2 + 1e-5).all()
        np.testing.assert_allclose(info.importance_weights.sum(axis=1), 1, 1e-5)
        used.add(tuple(columns))
    assert len(used) > 1


def test_deterministic_weights_need_a_demonstration_of_every_task():
    context = problems.tiny_context(task_ids=(0, 0, 2))
    selector = make("amf", weights="deterministic")
    choice, _, info = selector.select(key(0), selector.init(context), context)
    assert choice.task_id == -1
    with pytest.raises(errors.UndemonstratedTaskError, match="task push ") as raised:
        selectors.check_choice(choice, info, ("reach", "push", "pull"))
    assert "reach" not in str(raised.value)
    with pytest.raises(errors.UndemonstratedTaskError, match="task 1 *;?"):
        selectors.check_choice(choice, info)


def test_deterministic_weights_need_no_likelihood():
    context = problems.tiny_context()
    selector = selectors.amf(EMBEDDING, None, weights="deterministic")
    choice, _, info = selector.select(key(0), selector.init(context), context)
    selectors.check_choice(choice, info)
    np.testing.assert_allclose(info.effective_sample_size, [2.0, 1.0, 1.0])


def test_check_choice_accepts_what_is_finite():
    context = problems.tiny_context()
    _, _, info = select_active(("uniform", None, False), context)
    selectors.check_choice(Choice(jnp.int32(0), context.tasks[0]), info)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            dict(criterion="varience"),
            errors.UnknownNameError,
            "Did you mean 'variance'",
        ),
        (dict(weights="plane"), errors.UnknownNameError, "Did you mean 'plain'"),
        (dict(noise_variance=0.0), errors.InvalidArgumentError, "noise_variance"),
        (dict(noise_variance=-1.0), errors.InvalidArgumentError, "noise_variance"),
        (
            dict(noise_variance=float("nan")),
            errors.InvalidArgumentError,
            "noise_variance",
        ),
        (dict(trajectory_samples=0), errors.InvalidArgumentError, "trajectory_samples"),
        (dict(log_likelihood=None), errors.InvalidArgumentError, "log_likelihood"),
        (
            dict(log_likelihood=None, weights="plain"),
            errors.InvalidArgumentError,
            "deterministic",
        ),
        (
            dict(
                weights="deterministic",
                optimiser=candidates.random_shooting(sample_tasks),
            ),
            errors.InvalidArgumentError,
            "self_normalised",
        ),
    ],
)
def test_bad_options_are_refused(options, error, message):
    arguments = dict(log_likelihood=POLICY.log_likelihood) | options
    with pytest.raises(error, match=message):
        selectors.amf(EMBEDDING, **arguments)


def test_history_and_moving_embeddings_exclude_each_other():
    context = problems.tiny_context()
    selector = make("amf", frozen_embeddings=False)
    with pytest.raises(errors.InvalidArgumentError, match="frozen_embeddings"):
        selector.init(context, context.demos)


def test_unknown_selectors_are_refused_with_the_nearest_name():
    with pytest.raises(errors.UnknownNameError, match="Did you mean 'uniform'"):
        selectors.make("unifrom")
