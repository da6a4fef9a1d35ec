"""What selectors are given: any precision will do, contradictions will not."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import amf_jax
from amf_jax import (
    embeddings,
    errors,
    problem,
    selectors,
    streaming,
    task_table,
)
from amf_jax.dtypes import compute_dtype
from amf_jax.selectors import Pending
from tests import problems

POLICY = problems.tiny_policy()
EMBEDDING = embeddings.last_layer_gradient(POLICY.last_layer)
TASKS = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], np.float32)
MODELS = [name for name, entry in selectors.SELECTORS.items() if entry.needs_model]
REQUIRED = {"rebalancing": dict(pretraining_counts=(1, 0, 1))}


def short(values):
    """Numbers that half precision holds as they are."""
    return np.round(np.asarray(values) * 4.0) / 4.0


def plain(task_ids=(0, 1, 0, 2)):
    """A context of NumPy arrays in single precision."""
    context = problems.tiny_context(task_ids=task_ids)
    demos = jax.tree.map(np.array, context.demos)
    demos = demos._replace(
        observations=short(demos.observations),
        actions=short(demos.actions),
        tasks=TASKS[demos.task_ids],
    )
    return context._replace(
        demos=demos,
        tasks=TASKS,
        task_weights=np.array([0.25, 0.25, 0.5], np.float32),
        evaluations=np.array([[0.0, 0.5, 0.5], [0.25, 0.5, 1.0]], np.float32),
    )


def integers(context):
    demos = context.demos._replace(
        tasks=context.demos.tasks.astype(np.uint8),
        step_mask=context.demos.step_mask.astype(int),
        task_ids=context.demos.task_ids.astype(np.int64),
    )
    return context._replace(demos=demos, tasks=TASKS.astype(int))


def halves(context):
    demos = context.demos._replace(
        observations=context.demos.observations.astype(np.float16),
        actions=context.demos.actions.astype(jnp.bfloat16),
        tasks=context.demos.tasks.astype(np.float16),
    )
    return context._replace(
        demos=demos, tasks=TASKS.astype(jnp.bfloat16), task_weights=[0.25, 0.25, 0.5]
    )


@functools.cache
def build(name, **options):
    options |= REQUIRED.get(name, {})
    return selectors.make(name, EMBEDDING, POLICY.log_likelihood, **options)


def select(selector, context, seed=0):
    state = selector.init(context)
    return selector.select(jax.random.key(seed), state, context)


@pytest.mark.parametrize("change", [integers, halves])
@pytest.mark.parametrize("name", selectors.SELECTORS)
def test_the_choice_does_not_depend_on_how_numbers_are_stored(name, change):
    expected = select(build(name), plain())
    given = select(build(name), change(plain()))
    jax.tree.map(np.testing.assert_array_equal, given, expected)
    assert len({np.asarray(task).tobytes() for task in TASKS}) == 3
    if selectors.get(name).needs_model:
        assert np.ptp(given[2].scores) > 0


@pytest.mark.parametrize("space", ["function", "weight"])
@pytest.mark.parametrize("wide", ["params", "embedding_params", "demos", "tasks"])
def test_the_widest_floating_type_is_that_of_all(space, wide):
    selector = build("amf", execution=selectors.Execution(space))
    with jax.enable_x64(True):
        context = jax.tree.map(jnp.asarray, plain())
        double = jax.tree.map(
            lambda x: x.astype(float) if x.dtype == jnp.float32 else x,
            getattr(context, wide),
        )
        mixed = context._replace(**{wide: double})
        shapes = jax.eval_shape(lambda: select(selector, mixed))
        floats = {x.dtype for x in jax.tree.leaves(shapes) if x.dtype.kind == "f"}
        assert floats == {jnp.dtype(float)}


@pytest.mark.parametrize("space", ["function", "weight"])
def test_a_policy_may_compute_in_half_precision(space):
    context = plain()
    half = jax.tree.map(lambda x: x.astype(jnp.bfloat16), context.params)

    def last_layer(params, key, *example):
        parts = (x.astype(jnp.bfloat16) for x in example)
        return POLICY.last_layer(params, key, *parts)

    selector = problems.amf(
        embeddings.last_layer_gradient(last_layer), POLICY.log_likelihood, space=space
    )
    context = context._replace(params=half, embedding_params=half)
    choice, state, info = jax.eval_shape(lambda: select(selector, context))
    leaves = jax.tree.leaves((choice, state, info))
    assert {x.dtype for x in leaves if x.dtype.kind == "f"} == {jnp.dtype("float32")}


def test_images_stay_as_they_are():
    seen = []

    def last_layer(params, key, observation, action, task):
        seen.append(observation.dtype)
        pixels = observation.astype(task.dtype) / 255.0
        return POLICY.last_layer(params, key, pixels, action, task)

    embedding = embeddings.last_layer_gradient(last_layer)
    context = plain()
    pixels = np.full(context.demos.observations.shape, 200, np.uint8)
    context = context._replace(demos=context.demos._replace(observations=pixels))
    rule = selectors.amf(embedding, None, weights="off")
    jax.eval_shape(lambda: select(rule, context))
    assert set(seen) == {jnp.dtype("uint8")}


def streamed(context, key=None, embedding=EMBEDDING, **options):
    held = int(np.sum(context.demos.demo_mask))
    demos = jax.tree.map(lambda leaf: leaf[:held], context.demos)
    return streaming.select(
        lambda: iter([demos]),
        embedding,
        POLICY.log_likelihood,
        context.tasks,
        params=context.params,
        embedding_params=context.embedding_params,
        task_weights=context.task_weights,
        key=key,
        **options,
    )


@pytest.mark.parametrize("change", [integers, halves])
def test_a_pool_may_be_stored_in_any_precision(change):
    expected = streamed(plain(), noise_variance=0.3)
    given = streamed(change(plain()), noise_variance=0.3)
    jax.tree.map(np.testing.assert_array_equal, given, expected)
    assert np.ptp(given[1].scores) > 0


def test_tasks_and_weights_of_a_problem_are_floats():
    tasks = problem.check_tasks(np.eye(3, dtype=int), None)
    weights = problem.check_weights([0.2, 0.3, 0.5], np.eye(3, dtype=int))
    assert tasks.dtype == weights.dtype == compute_dtype()
    np.testing.assert_allclose(weights, [0.2, 0.3, 0.5], 1e-6)
    np.testing.assert_allclose(
        problem.check_weights(None, np.eye(4, dtype=np.uint8)), 0.25
    )


def eager_calls(selector, context):
    traces = []

    def counted(key, state, context):
        traces.append(1)
        return selector.select(key, state, context)

    rule = selectors.Selector(selector.init, counted)
    for seed in range(3):
        select(rule, context, seed)
    return len(traces)


def test_eager_calls_compile_once():
    assert eager_calls(build("amf"), plain()) == 1
    batches = selectors.batch._compiled(build("amf"))
    state = build("amf").init(plain())
    before = batches._cache_size()
    for seed in range(3):
        key = jax.random.key(seed)
        selectors.select_batch(build("amf"), key, state, plain(), 2)
    assert batches._cache_size() == before + 1


def broken(**changes):
    return plain()._replace(**changes)


def demos(**changes):
    return broken(demos=plain().demos._replace(**changes))


def pending(ids, tasks=TASKS[:2], mask=(True, True)):
    slots = Pending(np.array(ids), np.array(tasks), np.array(mask))
    return broken(pending=slots)


HOLE = np.array([True, False, True, True, False, False])
WRONG = [
    (broken(task_weights=np.array([0.5, 0.7, -0.2])), "not negative"),
    (broken(task_weights=np.array([0.5, 0.5, 0.5])), "sum to 1"),
    (broken(task_weights=np.array([0.5, 0.5])), "task_weights must be 3 numbers"),
    (broken(tasks=TASKS * np.nan), "tasks must be finite"),
    (broken(tasks=TASKS[0]), "at least one task"),
    (demos(task_ids=np.array([0, 3, 0, 2, -1, -1])), "demonstration 1 has task id 3"),
    (demos(task_ids=np.array([0, -2, 0, 2, -1, -1])), "demonstration 1 has task id -2"),
    (demos(task_ids=np.array([0, 2, 0, 2, -1, -1])), "demonstration 1 has task id 2 "),
    (demos(demo_mask=HOLE), "demo_mask must be True for the first"),
    (demos(tasks=np.ones((6, 3))), "tasks has shape"),
    (demos(actions=plain().demos.actions * np.nan), "actions is NaN"),
    (broken(evaluations=np.zeros((2, 4))), "evaluations must hold"),
    (pending([0, 3]), "pending.task_ids must be whole numbers from -1 to 2"),
    (pending([0.9, 1]), "pending.task_ids must be whole numbers from -1 to 2"),
    (pending("ab"), "pending.task_ids must be an array of real numbers"),
    (pending([0, 1], [["a"], ["b"]]), "pending.tasks must be an array of real number"),
    (pending([0, 1], mask=(1.0, np.nan)), "pending.mask must be an array of booleans"),
    (broken(tasks=[[1.0, 2.0], [1.0]]), "tasks must be an array .* of real numbers"),
    (pending([0, 2]), "pending slot 1 has task id 2"),
    (pending([0, 1], TASKS[:2, :1]), "pending.tasks and pending.mask"),
]


@pytest.mark.parametrize(("context", "message"), WRONG)
def test_a_context_that_contradicts_itself_is_refused(context, message):
    wrong = (errors.InvalidArgumentError, errors.DemonstrationError)
    selector = build("uniform")
    calls = [
        lambda: amf_jax.check_context(context),
        lambda: selector.init(context),
        lambda: selector.select(jax.random.key(0), (), context),
        lambda: selectors.select_batch(selector, jax.random.key(0), (), context, 2),
    ]
    for call in calls:
        with pytest.raises(wrong, match=message):
            call()


@pytest.mark.parametrize("name", ["amf", "uniform"])
def test_a_history_that_does_not_fit_is_refused(name):
    history = plain().demos._replace(task_ids=np.full(6, 9, np.int32))
    build(name).init(plain(), history)
    wide = history._replace(observations=np.zeros((6, 3, 4), np.float32))
    with pytest.raises(errors.DemonstrationError, match="observations has shape"):
        build(name).init(plain(), wide)


@pytest.mark.parametrize(
    "context",
    [
        plain(),
        demos(demo_mask=np.zeros(6, bool)),
        demos(task_ids=np.array([0, -1, 0, 2, 7, 7])),
        pending([0, 9], mask=(True, False)),
        pending([0, -1], tasks=[[1.0, 0.0], [5.0, 5.0]]),
    ],
)
def test_a_context_that_makes_sense_is_let_through(context):
    amf_jax.check_context(context)


def test_what_is_traced_has_no_values_to_check():
    wrong = broken(task_weights=np.array([0.5, 0.5, 0.5]))
    jax.eval_shape(build("uniform").init, wrong)


@pytest.mark.parametrize("name", selectors.SELECTORS)
def test_no_task_is_an_error_also_while_tracing(name):
    context = problems.tiny_context()
    nothing = context._replace(tasks=TASKS[:0], task_weights=np.zeros(0))
    for call in (build(name).init, lambda c: build(name).select(None, None, c)):
        with pytest.raises(errors.InvalidArgumentError, match="at least one task"):
            jax.eval_shape(call, nothing)
    with pytest.raises(errors.InvalidArgumentError, match="at least one task"):
        streamed(plain()._replace(tasks=TASKS[:0]))


@pytest.mark.parametrize("ids", [[0, 99], [-1], [0.0], ["a"]])
def test_task_ids_are_indices_of_tasks(ids):
    task_table.check_ids(np.array([0, 2]), 3)
    with pytest.raises(errors.InvalidArgumentError, match="from 0 to 2"):
        task_table.check_ids(ids, 3)


def test_a_task_vector_may_be_rounded_to_its_own_type():
    tasks = np.array([[0.1, 0.2], [0.3, -0.7]])
    for dtype in (np.float32, np.float16, jnp.bfloat16):
        assert not task_table.is_alien([0, 1], tasks.astype(dtype), tasks).any()
    assert task_table.is_alien([0, 1], tasks + 1e-5, tasks).all()
    assert task_table.is_alien([0, 1], tasks.astype(np.float32) + 1e-5, tasks).all()


@pytest.mark.parametrize("name", MODELS)
def test_a_reverse_derivative_is_refused_with_what_to_do(name):
    context = jax.tree.map(jnp.asarray, plain())

    def best(params):
        now = context._replace(params=params, embedding_params=params)
        return select(build(name), now)[2].scores.max()

    with pytest.raises(errors.InvalidArgumentError, match=r"jax\.jvp"):
        jax.eval_shape(jax.grad(best), context.params)
    given = (context.params,)
    value, slope = jax.eval_shape(lambda: jax.jvp(best, given, given))
    assert value.shape == slope.shape == ()


@pytest.mark.parametrize("name", selectors.SELECTORS)
def test_no_selection_stops_under_debug_nans(name):
    selector = selectors.warm_start(build(name), 1)
    state, run = selector.init(plain()), jax.jit(selector.select)
    with jax.debug_nans(True):
        for seed in range(2):
            choice, state, info = run(jax.random.key(seed), state, plain())
            selectors.check_choice(choice, info)


def test_equals_are_drawn_among_and_the_best_is_taken():
    def picked(scores, seed):
        ids = jnp.arange(3, dtype=jnp.int32)
        key = jax.random.key(seed)
        return selectors.pick(key, jnp.array(scores), ids, jnp.asarray(TASKS)).task_id

    draw = jax.jit(picked)
    assert {int(draw([1.0, 3.0, 2.0], seed)) for seed in range(20)} == {1}
    tied = [int(draw([3.0, 1.0, 3.0], seed)) for seed in range(200)]
    assert set(tied) == {0, 2} and 60 < tied.count(0) < 140
    assert draw([1.0, jnp.nan, 2.0], 0) == -1


def blank_layer(params, key, observation, action, task):
    """A last layer without an error: nothing can be learned from any demonstration."""
    features, error = POLICY.last_layer(params, key, observation, action, task)
    return features, 0.0 * error


BLANK = embeddings.last_layer_gradient(blank_layer)


@pytest.mark.parametrize("name", MODELS)
def test_selectors_draw_among_equals(name):
    rule = selectors.make(name, BLANK, None, weights="off")
    found = {int(select(rule, plain(), seed)[0].task_id) for seed in range(20)}
    assert found == {0, 1, 2}
    batch, _, _ = selectors.select_batch(
        rule, jax.random.key(0), rule.init(plain()), plain(), 8
    )
    assert len(set(batch.task_id.tolist())) == 3


def test_a_pool_is_drawn_from_among_equals():
    with pytest.warns(UserWarning, match="every score is 0"):
        found = [
            int(streamed(plain(), key, BLANK, weights="off")[0].task_id)
            for key in [None, *jax.random.split(jax.random.key(0), 20)]
        ]
    assert set(found) == {0, 1, 2}
    rule = selectors.amf(BLANK, None, weights="off")
    assert found[0] == select(rule, plain())[0].task_id


def test_own_demonstrations_are_told_beside_what_is_borrowed():
    context = plain(task_ids=(0, 0, 1))
    _, _, info = select(build("amf", likelihood_clip=(-0.1, 0.0)), context)
    assert info.own_demonstrations.tolist() == [2, 1, 0]
    assert (info.effective_sample_size > 2.9).all()
    _, streamed_info = streamed(context, likelihood_clip=(-0.1, 0.0))
    assert streamed_info.own_demonstrations.tolist() == [2, 1, 0]


@pytest.mark.parametrize(
    "tasks", ["abc", [[1.0], [1.0, 2.0]], [[None]], [["a"]], [[1j]]]
)
def test_tasks_that_are_no_real_numbers_are_refused(tasks):
    with pytest.raises(errors.InvalidArgumentError, match="array .* of real numbers"):
        problem.check_tasks(tasks, None)


def test_tasks_that_are_infinite_once_they_are_rounded_are_refused():
    with pytest.raises(errors.InvalidArgumentError, match="tasks must be finite"):
        problem.check_tasks(TASKS.astype(float) * 1e39, None)


@pytest.mark.parametrize(
    "weights", ["abc", [[0.5], 0.5, 0.0], ["a", "b", "c"], [0.5 + 1j, 0.5, 0.0], {}]
)
def test_task_weights_that_are_no_real_numbers_are_refused(weights):
    with pytest.raises(errors.InvalidArgumentError, match="must be 3 numbers"):
        problem.check_weights(weights, TASKS)


@pytest.mark.parametrize("success", [np.full((2, 3), "a"), np.ones((2, 3)) * 1j, "abc"])
def test_evaluations_that_are_no_real_numbers_are_refused(success):
    with pytest.raises(errors.InvalidArgumentError, match="^evaluations must hold"):
        selectors.check_context(plain()._replace(evaluations=success))


def test_states_that_are_infinite_once_they_are_rounded_are_refused():
    demos = plain().demos
    demos = demos._replace(observations=demos.observations.astype(float) * 1e39)
    with pytest.raises(errors.DemonstrationError, match="observations is NaN or inf"):
        selectors.check_context(plain()._replace(demos=demos))


def test_numpy_arrays_will_do_without_jit_as_well():
    context = jax.tree.map(np.asarray, plain())
    rule = selectors.amf(BLANK, None, weights="off")
    with jax.disable_jit():
        choice, _, info = rule.select(jax.random.key(0), rule.init(context), context)
    assert choice.task_id in (0, 1, 2)
    np.testing.assert_array_equal(info.scores, 0.0)
