"""Batches and pending demonstrations, against posteriors rebuilt in float64."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from amf_jax import candidates, embeddings, errors, selectors
from amf_jax import demonstrations as demonstrations_lib
from amf_jax.selectors import Choice, Pending, pending, select_batch
from tests import problems
from tests.transcription import transcription

POLICY = problems.tiny_policy()
EMBEDDING = embeddings.last_layer_gradient(POLICY.last_layer)

SPACES = ("function", "weight")
SHOOTING = candidates.random_shooting(
    lambda key, count: jax.random.uniform(key, (count, problems.TASK_SIZE)), 5
)


@functools.cache
def build(**options):
    """An active selector, compiled once for all tests."""
    selector = problems.amf(EMBEDDING, POLICY.log_likelihood, **options)
    return selector._replace(select=jax.jit(selector.select))


@functools.partial(jax.jit, static_argnums=(0, 4))
def batch_of(selector, key, state, context, size):
    return select_batch(selector, key, state, context, size)


def key(seed=0):
    return jax.random.key(seed)


def slots(tasks, ids, unused=0):
    """Pending demonstrations of some tasks, behind slots that hold nonsense."""
    ids = np.asarray(ids, np.int32)
    known = np.asarray(tasks)
    return Pending(
        jnp.asarray(np.concatenate([np.full(unused, 1, np.int32), ids])),
        jnp.asarray(np.concatenate([np.full((unused, 2), np.nan), known[ids]])),
        jnp.arange(unused + ids.size) >= unused,
    )


def posterior_of(state):
    return state.posterior._replace(jitter=jnp.float32(0))


def assert_same(one, other, rtol=1e-4, atol=1e-6):
    def compare(x, y):
        assert x.dtype == y.dtype
        np.testing.assert_allclose(
            np.asarray(x, float), np.asarray(y, float), rtol, atol
        )

    jax.tree.map(compare, one, other)


@pytest.mark.parametrize(
    ("space", "criterion", "weights", "history"),
    [
        ("function", "variance", "self_normalised", True),
        ("weight", "variance", "self_normalised", True),
        ("weight", "variance", "plain", False),
        ("function", "variance", "deterministic", False),
        ("function", "entropy", "self_normalised", True),
        ("function", "prior_entropy", "off", False),
    ],
)
def test_a_batch_is_what_rebuilding_the_posterior_chooses(
    space, criterion, weights, history
):
    with jax.enable_x64(True):
        context = problems.tiny_context(dtype=jnp.float64)
        selector = build(
            space=space,
            criterion=criterion,
            weights=weights,
            condition_on_history=history,
            noise_variance=1.0,
        )
        choices, _, infos = batch_of(
            selector, key(), selector.init(context), context, 4
        )
        asked = []
        for scores in infos.scores:
            expected, _ = transcription(
                context, context.tasks, range(3), criterion, weights, history, asked
            )
            np.testing.assert_allclose(scores, expected, 1e-9)
            best = int(np.argmax(expected))
            asked.append((np.asarray(context.tasks[best]), best))
        assert choices.task_id.tolist() == [task_id for _, task_id in asked]
        np.testing.assert_array_equal(choices.task, context.tasks[choices.task_id])


def test_continuous_batches_are_scored_with_the_former_pending():
    context = problems.tiny_context()
    selector = build(optimiser=SHOOTING)
    choices, _, infos = batch_of(selector, key(), selector.init(context), context, 3)
    asked = []
    for index in range(3):
        expected, _ = transcription(
            context,
            np.asarray(infos.candidates[index]),
            None,
            "variance",
            "self_normalised",
            True,
            asked,
        )
        np.testing.assert_allclose(infos.scores[index], expected, 1e-3)
        asked.append((np.asarray(choices.task[index]), -1))
    assert choices.task_id.tolist() == [-1, -1, -1]
    assert len(np.unique(infos.candidates, axis=0)) == 3  # drawn anew for each


def orthogonal_tasks():
    """Points of length 2 and 1 for two tasks, one demonstration of one step of each."""

    def embed(params, key, observations, actions, tasks):
        return tasks

    embedding = embeddings.Embedding(
        embed,
        embeddings.linear_kernel,
        embeddings.linear_diagonal,
        embeddings.linear_features,
    )
    tasks = jnp.array([[2.0, 0.0], [0.0, 1.0]])
    demos = problems.tiny_demos(0, (0, 1), horizon=1, tasks=tasks)
    context = selectors.Context(demos, tasks, jnp.full(2, 0.5), (), ())
    return embedding, context


@pytest.mark.parametrize("space", SPACES)
def test_a_batch_worked_by_hand(space):
    """A demonstration of variance v under noise 1 takes v^2 / (v + 1) off it.

    It leaves v / (v + 1): after 4 come 4/5 and 4/9, after 1 come 1/2 and 1/3.
    """
    embedding, context = orthogonal_tasks()
    selector = problems.amf(
        embedding,
        None,
        weights="deterministic",
        condition_on_history=False,
        normalise_kernel=False,
        space=space,
    )
    choices, _, infos = batch_of(selector, key(), selector.init(context), context, 4)
    assert choices.task_id.tolist() == [0, 1, 0, 1]
    of_zero = [16 / 5, (4 / 5) ** 2 / (9 / 5), (4 / 5) ** 2 / (9 / 5)]
    of_one = [1 / 2, 1 / 2, (1 / 2) ** 2 / (3 / 2)]
    np.testing.assert_allclose(
        infos.scores[:3], 0.5 * np.transpose([of_zero, of_one]), 1e-5
    )


def spread_out(seed, num_tasks=4):
    """One demonstration of each of several tasks, in float64."""
    return problems.tiny_context(
        seed, range(num_tasks), num_tasks=num_tasks, capacity=4, dtype=jnp.float64
    )


def variance_left(context, chosen):
    """Expected variance over the occupancy after demonstrations of these tasks.

    One demonstration of each task is at hand, and deterministic weights take a task's
    own for its occupancy and for what a further one would look like.
    """
    context = jax.tree.map(np.asarray, context)
    demos, params = context.demos, context.embedding_params

    def block(task):
        (steps,) = np.nonzero(demos.step_mask[task])
        rows = []
        for state, action in zip(
            demos.observations[task, steps], demos.actions[task, steps], strict=True
        ):
            inputs = np.concatenate([state, context.tasks[task]])
            error = inputs @ params["kernel"] + params["bias"] - action
            rows.append(np.outer([*inputs, 1.0], 2.0 * error).ravel())
        return np.array(rows)

    blocks = [block(task) for task in range(len(context.tasks))]
    mass = np.concatenate(
        [
            np.full(len(b), mu)
            for b, mu in zip(blocks, context.task_weights, strict=True)
        ]
    )
    points = np.concatenate(blocks)
    points = points / np.sqrt(mass @ (points**2).sum(axis=1) / mass.sum())
    parts = np.split(points, np.cumsum([len(b) for b in blocks])[:-1])
    known = np.concatenate([*parts, *(parts[task] for task in chosen)])
    across = known @ points.T
    drop = across * np.linalg.solve(known @ known.T + np.eye(len(known)), across)
    return mass @ ((points**2).sum(axis=1) - drop.sum(axis=0))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("space", SPACES)
def test_a_batch_against_all_batches(space, seed):
    """The first choice is the best; what scores promise is what the batch brings."""
    with jax.enable_x64(True):
        context = spread_out(seed)
        selector = build(space=space, weights="deterministic")
        choices, _, infos = batch_of(
            selector, key(), selector.init(context), context, 3
        )
        before = variance_left(context, [])
        brought = np.cumsum(infos.scores.max(axis=1))
        for size in (1, 2, 3):
            chosen = choices.task_id[:size].tolist()
            left = variance_left(context, chosen)
            np.testing.assert_allclose(before - left, brought[size - 1], 1e-9)
            every = itertools.combinations_with_replacement(range(4), size)
            best = min(variance_left(context, rows) for rows in every)
            assert best <= left * (1 + 1e-12)
            if size == 1:
                np.testing.assert_allclose(left, best, 1e-12)


@pytest.mark.parametrize("space", SPACES)
def test_what_is_pending_counts_like_the_same_demonstration_delivered(space):
    # Deterministic weights share a task's mass among its demonstrations, so that a
    # second copy changes no occupancy, but is conditioned on.
    context = problems.tiny_context(task_ids=(0, 1, 2), capacity=4)
    again = jax.tree.map(lambda leaf: leaf[1:2], context.demos)
    delivered = context._replace(demos=demonstrations_lib.append(context.demos, again))
    selector = build(space=space, weights="deterministic")
    asked = context._replace(pending=slots(context.tasks, [1]))
    _, _, expected = selector.select(key(), selector.init(context), delivered)
    _, _, info = selector.select(key(), selector.init(context), asked)
    _, _, without = selector.select(key(), selector.init(context), context)
    np.testing.assert_allclose(info.scores, expected.scores, 1e-4)
    assert not np.allclose(info.scores, without.scores, 1e-2)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("frozen", [True, False])
def test_what_is_pending_stays_out_of_the_state(space, frozen):
    context = problems.tiny_context()
    selector = build(space=space, **({} if frozen else {"frozen_embeddings": False}))
    state = selector.init(context)
    asked = context._replace(pending=slots(context.tasks, [2, 0]))
    _, after, _ = selector.select(key(), state, asked)
    _, expected, _ = selector.select(key(), state, context)
    assert_same(posterior_of(after), posterior_of(expected))
    assert after.num_conditioned == expected.num_conditioned == 4


@pytest.mark.parametrize(
    "options",
    [*(dict(space=space) for space in SPACES), dict(optimiser=SHOOTING)],
    ids=(*SPACES, "shooting"),
)
def test_slots_that_are_not_in_use_have_no_influence(options):
    context = problems.tiny_context()
    selector = build(**options)

    def scores(*arguments, **more):
        held = slots(context.tasks, *arguments, **more) if arguments else None
        now = context._replace(pending=held)
        return selector.select(key(), selector.init(now), now)[2].scores

    np.testing.assert_allclose(scores([], unused=2), scores(), 1e-5)
    np.testing.assert_allclose(scores([2, 0], unused=2), scores([0, 2]), 1e-4)
    assert not np.allclose(scores([2, 0]), scores(), 1e-3)


def test_another_number_of_pending_demonstrations_compiles_nothing():
    context = problems.tiny_context()
    selector, traces = build(), []

    @jax.jit
    def select(key, state, context):
        traces.append(1)
        return select_batch(selector, key, state, context, 2)

    state = selector.init(context)
    held = pending.none(3, context.tasks)
    for slot in range(4):  # the last one is no slot
        choices, state, _ = select(key(slot), state, context._replace(pending=held))
        first = jax.tree.map(lambda leaf: leaf[0], choices)
        held = pending.assign(held, slot, first)
    assert held.mask.all()
    assert len(traces) == 1


@functools.cache
def registered(name):
    required = dict(pretraining_counts=(1, 1, 1)) if name == "rebalancing" else {}
    return selectors.make(name, EMBEDDING, POLICY.log_likelihood, **required)


def evaluated_context(**options):
    context = problems.tiny_context(**options)
    success = jnp.array([[0.1, 0.5, 0.2], [0.3, 0.4, 0.2]])
    return context._replace(evaluations=success)


@pytest.mark.parametrize("name", selectors.SELECTORS)
def test_a_batch_of_one_is_a_plain_selection(name):
    context = evaluated_context()
    selector = registered(name)
    state = selector.init(context)
    choices, after, infos = batch_of(selector, key(3), state, context, 1)
    expected = jax.jit(selector.select)(key(3), state, context)
    first = jax.tree.map(lambda leaf: leaf[0], (choices, infos))
    jax.tree.map(
        np.testing.assert_array_equal,
        (first[0], after, first[1]),
        expected,
    )


@pytest.mark.parametrize("name", selectors.SELECTORS)
def test_every_selector_chooses_batches_of_tasks_that_exist(name):
    context = evaluated_context()
    selector = registered(name)
    state = selector.init(context)
    choices, after, infos = batch_of(selector, key(1), state, context, 3)
    assert choices.task_id.shape == (3,) and (choices.task_id >= 0).all()
    np.testing.assert_array_equal(choices.task, context.tasks[choices.task_id])
    assert all(leaf.shape[0] == 3 for leaf in jax.tree.leaves(infos))
    assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, state)


def test_round_robin_goes_on_in_turn_through_batches():
    context, selector = problems.tiny_context(), registered("round_robin")
    first, state, _ = batch_of(selector, key(), selector.init(context), context, 2)
    then, _, _ = batch_of(selector, key(), state, context, 2)
    assert [*first.task_id.tolist(), *then.task_id.tolist()] == [0, 1, 2, 0]


def test_rebalancing_counts_what_is_pending():
    # pre-training 1, 1, 1; at hand 2, 1, 1; pending 0, 1, 0: counts of 3, 3, 2
    context = problems.tiny_context()
    asked = context._replace(pending=slots(context.tasks, [1], unused=2))
    selector = registered("rebalancing")
    choices, _, infos = batch_of(selector, key(), (), asked, 3)
    np.testing.assert_array_equal(infos.scores[0], [-3.0, -3.0, -2.0])
    assert choices.task_id[0] == 2
    # then all have 3: each of the next two gets one, and never the same twice
    np.testing.assert_array_equal(infos.scores[1], [-3.0, -3.0, -3.0])
    assert choices.task_id[1] != choices.task_id[2]


@pytest.mark.parametrize("name", ["uniform", "learning_progress"])
def test_draws_of_a_batch_are_independent(name):
    context, selector = evaluated_context(), registered(name)
    keys = jax.random.split(key(), 1500)

    def draw(key):
        return select_batch(selector, key, (), context, 2)[0].task_id

    drawn = np.asarray(jax.jit(jax.vmap(draw))(keys))
    table = np.zeros((3, 3))
    np.add.at(table, tuple(drawn.T), 1)
    first, second = table.sum(axis=1), table.sum(axis=0)
    assert scipy.stats.chi2_contingency(table).pvalue > 0.01
    assert scipy.stats.chi2_contingency([first, second]).pvalue > 0.01


@pytest.mark.parametrize("size", [2, 3])
def test_a_warm_start_lasts_until_its_demonstrations_are_at_hand(size):
    context = problems.tiny_context(task_ids=(0,))
    selector = selectors.warm_start(registered("amf"), 2)
    state = selector.init(context)
    choices, state, infos = batch_of(selector, key(), state, context, size)
    assert choices.task_id.tolist() == [0, 1, 2][:size]
    assert infos.scheduled.all() and selectors.diagnostics(infos) is None
    # an expert has not delivered yet: one of two is at hand
    late = context._replace(pending=slots(context.tasks, [1] * (size - 1)))
    choice, _, info = selector.select(key(), state, late)
    assert choice.task_id == size % 3 and info.scheduled
    _, _, infos = batch_of(selector, key(), state, context, size)
    assert np.isfinite(selectors.diagnostics(infos).scores).all()


def test_slots_are_assigned_and_released():
    tasks = problems.tiny_tasks()
    held = pending.none(2, tasks)
    assert pending.count(held) == pending.count(None) == 0
    one, two = (Choice(jnp.int32(i), tasks[i]) for i in (2, 0))
    held = pending.assign(pending.assign(held, 1, one), 0, two)
    np.testing.assert_array_equal(held.tasks, tasks[np.array([0, 2])])
    both = jax.tree.map(lambda *leaves: jnp.stack(leaves), two, one)
    at_once = pending.assign(pending.none(2, tasks), jnp.arange(2), both)
    jax.tree.map(np.testing.assert_array_equal, at_once, held)
    assert pending.count(pending.release(held, 1)) == 1
    assert pending.count(pending.assign(held, 2, one)) == 2  # of nobody


def test_a_stand_in_is_the_likeliest_demonstration_relabelled():
    tasks = problems.tiny_tasks()
    demos = problems.tiny_demos(task_ids=(0, 1, 2))
    held = slots(tasks, [1, 2], unused=1)
    weights = jnp.array([[0.0, 0.0, 1.0], [0.4, 0.2, 0.4], [0.1, 0.3, 0.6]])
    expected = pending.stand_ins(held, demos, weights)
    rows = np.array([2, 0, 2])  # the first of equals
    np.testing.assert_array_equal(expected.observations, demos.observations[rows])
    np.testing.assert_array_equal(expected.actions, demos.actions[rows])
    np.testing.assert_array_equal(expected.step_mask, demos.step_mask[rows])
    np.testing.assert_array_equal(expected.tasks[1:], tasks[np.array([1, 2])])
    np.testing.assert_array_equal(expected.demo_mask, [False, True, True])


def test_broken_parameters_make_every_choice_invalid():
    context = problems.tiny_context()
    broken = context._replace(
        params=jax.tree.map(lambda leaf: leaf * jnp.nan, context.params)
    )
    selector = build()
    choices, _, infos = batch_of(selector, key(), selector.init(broken), broken, 2)
    for index in range(2):
        choice, info = jax.tree.map(
            lambda leaf, index=index: leaf[index], (choices, infos)
        )
        with pytest.raises(errors.SelectionError, match="NaN"):
            selectors.check_choice(choice, info)


def test_sizes_that_make_no_sense_are_refused():
    context = problems.tiny_context()
    with pytest.raises(errors.InvalidArgumentError, match="size must be a whole"):
        select_batch(selectors.uniform(), key(), (), context, 0)
    with pytest.raises(errors.InvalidArgumentError, match="slots must be a whole"):
        pending.none(0, context.tasks)
