"""Ranking tasks from arrays: the selector's own scores, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amf_jax import embeddings, errors, selectors
from amf_jax.policies import mlp
from amf_jax.ranking import episodes, rank_tasks, rank_tasks_by_gradients, tasks
from amf_jax.streaming import steps
from tests import problems

TASKS = problems.tiny_tasks()
DEMOS = problems.tiny_demos(task_ids=(0, 1, 0, 2, 1), horizon=4, tasks=TASKS)
EPISODES = np.repeat(np.arange(5), 4)[np.asarray(DEMOS.step_mask).ravel()]
TASK_IDS = np.asarray(DEMOS.task_ids)[EPISODES]
SHARES = np.array([0.5, 0.2, 0.3], np.float32)


def steps_of(values):
    """What is recorded, a row per step."""
    return np.asarray(values)[np.asarray(DEMOS.step_mask)]


@pytest.fixture(scope="module")
def policy():
    return mlp.policy(jnp.zeros(3), jnp.ones(3), 2, 2, features=(8, 6))


@pytest.fixture(scope="module")
def params(policy):
    return policy.init(jax.random.key(0))


@pytest.fixture(scope="module")
def exported(policy, params):
    """Last-layer features and errors of every recorded step under its own task."""
    examples = (
        steps_of(DEMOS.observations),
        steps_of(DEMOS.actions),
        np.asarray(DEMOS.tasks)[EPISODES],
    )
    key = jax.random.key(0)
    return jax.vmap(lambda *example: policy.last_layer(params, key, *example))(
        *examples
    )


@pytest.mark.parametrize("condition_on_history", [True, False])
def test_the_values_are_the_scores_of_the_selector(
    policy, params, exported, condition_on_history
):
    selector = selectors.amf(
        embeddings.last_layer_gradient(policy.last_layer),
        None,
        weights="deterministic",
        condition_on_history=condition_on_history,
        noise_variance=0.3,
    )
    context = selectors.Context(DEMOS, TASKS, SHARES, params, params)
    choice, _, info = selector.select(
        jax.random.key(0), selector.init(context), context
    )
    found = rank_tasks(
        *exported,
        EPISODES,
        TASK_IDS,
        SHARES,
        condition_on_history=condition_on_history,
        noise_variance=0.3,
    )
    assert found.tasks[0] == int(choice.task_id)
    np.testing.assert_allclose(
        found.values, np.asarray(info.scores)[found.tasks], rtol=1e-4
    )
    assert np.ptp(found.values) > 1e-2 * np.max(found.values)
    np.testing.assert_array_equal(found.task_weights, SHARES[found.tasks])
    np.testing.assert_array_equal(found.episodes, np.array([2, 2, 1])[found.tasks])
    np.testing.assert_array_equal(found.steps, np.bincount(TASK_IDS)[found.tasks])


def test_explicit_gradients_give_the_same_values(exported):
    factors = embeddings.FactoredGradient(*exported)
    expected = rank_tasks(*exported, EPISODES, TASK_IDS)
    found = rank_tasks_by_gradients(factors.explicit(), EPISODES, TASK_IDS)
    assert found.tasks == expected.tasks
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-4)


def test_neither_the_order_of_steps_nor_the_kind_of_ids_matters(exported):
    expected = rank_tasks(*exported, EPISODES, TASK_IDS)
    order = np.random.default_rng(0).permutation(len(EPISODES))
    names = np.array(["open", "close", "push"])
    found = rank_tasks(
        *(np.asarray(values, np.float64)[order] for values in exported),
        [f"episode {7 - number}" for number in EPISODES[order]],
        names[TASK_IDS][order],
        dict(zip(names.tolist(), [1 / 3] * 3, strict=True)),
    )
    assert found.tasks == names[expected.tasks].tolist()
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-4)


def test_a_task_without_weight_is_a_candidate_all_the_same():
    """One direction: the demonstrations of either task tell the same."""
    features, ids = np.zeros((4, 1)), [0, 0, 1, 1]
    found = rank_tasks(features, np.ones((4, 1)), ids, ids, {0: 1.0})
    assert found.tasks == found.tied == [0, 1]
    # Prior variance 1, known from 4 observations of noise 1: 1/5. With 6: 1/7.
    np.testing.assert_allclose(found.values, 2 * (1 / 5 - 1 / 7), rtol=1e-5)
    assert found.task_weights.tolist() == [1.0, 0.0]


def problem(width=6, outputs=2, steps=40, tasks=4):
    """Random features and errors, of tasks that differ in the size of their errors."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(steps, width)).astype(np.float32)
    ids = np.arange(steps) // (steps // tasks)
    errors_ = rng.normal(size=(steps, outputs)) * 2.0 ** ids[:, None]
    return features, errors_.astype(np.float32), ids


@pytest.mark.parametrize("of", ["factors", "gradients"])
def test_values_of_projections_are_about_the_exact_ones(of):
    features, outputs, ids = problem()
    exact = rank_tasks(features, outputs, ids, ids)
    if of == "factors":
        found = rank_tasks(features, outputs, ids, ids, projection_rank=500)
    else:
        factors = embeddings.FactoredGradient(features, outputs)
        gradients = factors.explicit()
        found = rank_tasks_by_gradients(gradients, ids, ids, projection_rank=500)
    assert (found.projection_rank, found.tasks) == (500, exact.tasks)
    np.testing.assert_allclose(found.values, exact.values, rtol=0.3)


def test_a_gaussian_projection_errs_as_much_as_is_stated():
    points = np.random.default_rng(1).normal(size=(30, 700)).astype(np.float32)
    rank = 400
    projected = tasks._project(points, 0, rank, seed=0)
    exact = points @ points.T
    norms = np.sqrt(np.diag(exact))
    off = (projected @ projected.T - exact) / np.outer(norms, norms)
    pairs = off[np.triu_indices(30, 1)]
    assert np.std(np.diag(off)) == pytest.approx(np.sqrt(2 / rank), rel=0.4)
    assert np.std(pairs) == pytest.approx(np.sqrt(1 / rank), rel=0.2)


@pytest.mark.parametrize(("width", "projected"), [(255, None), (256, 512)])
def test_what_is_wider_than_the_limit_is_projected(width, projected):
    features, outputs, ids = problem(width=width, steps=8)
    assert rank_tasks(features, outputs, ids, ids).projection_rank == projected


@pytest.mark.parametrize(
    "lengths", [np.linspace(50, 700, 40).astype(int), [7] * 9, [1, 2, 3, 1000]]
)
def test_short_episodes_do_not_pay_for_long_ones(lengths):
    ids = np.repeat(np.arange(len(lengths)), lengths)
    grouped = episodes.Episodes.of(ids, ids % 2, len(ids))
    values = np.arange(len(ids), dtype=np.float32)[:, None]
    pool = episodes.pool_of(values, values, 0, grouped, np.arange(2.0)[:, None])
    batches = list(pool())
    recorded = [batch.observations[batch.step_mask] for batch in batches]
    assert sorted(np.concatenate(recorded).ravel()) == values.ravel().tolist()
    padded = sum(batch.step_mask.size for batch in batches)
    assert padded <= 1.5 * len(ids)
    for batch in batches:  # a row is an episode
        for row, mask in zip(batch.observations, batch.step_mask, strict=True):
            assert len(set(ids[row[mask, 0].astype(int)])) == 1


def test_another_ranking_of_the_same_shapes_compiles_nothing():
    features, outputs, ids = problem()
    compiled = [steps.add_moments, steps.scores]
    rank_tasks(features, outputs, ids, ids)
    before = [function._cache_size() for function in compiled]
    rank_tasks(2 * features, outputs, ids, ids, [0.4, 0.3, 0.2, 0.1])
    assert [function._cache_size() for function in compiled] == before


FEATURES, ERRORS, IDS = problem(steps=8)


def spoilt(values, step, value=np.nan):
    values = values.copy()
    values[step, 0] = value
    return values


def masked(values):
    return np.ma.masked_array(values, values == values[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((FEATURES[:5], ERRORS, IDS, IDS), "features has 5 steps and errors 8"),
        ((FEATURES, ERRORS, IDS[:5], IDS), r"episode_ids has shape \(5,\), but there"),
        ((FEATURES, ERRORS, IDS, IDS[:, None]), r"task_ids has shape \(8, 1\)"),
        ((FEATURES[:, 0], ERRORS, IDS, IDS), r"features must be .* got shape \(8,\)"),
        ((FEATURES[:0], ERRORS[:0], IDS[:0], IDS[:0]), "at least one recorded step"),
        ((FEATURES, "none", IDS, IDS), "errors must be real numbers .* got 'str'"),
        ((FEATURES, ERRORS, IDS + 0.5, IDS), "integers or strings, got float64; conv"),
        ((FEATURES, ERRORS, IDS, [None] * 8), "task_ids must be .* got object"),
        ((spoilt(FEATURES, 5), ERRORS, IDS, IDS), "features holds nan at step 5, of"),
        (
            (FEATURES, spoilt(ERRORS, 3, np.inf), IDS, IDS),
            "errors holds inf at step 3, of epis",
        ),
        ((FEATURES.astype(float) * 1e40, ERRORS, IDS, IDS), "finite and below 1e.18"),
        ((FEATURES, ERRORS, IDS // 2, IDS), "episode 0 is of the tasks 0 and 1 .at st"),
        ((FEATURES, ERRORS, IDS, IDS * 0), "all 4 episodes are of the task 0; ranking"),
        ((FEATURES, ERRORS, IDS * 0, IDS * 0), "all 1 episodes are of the task 0"),
        ((masked(FEATURES), ERRORS, IDS, IDS), "features must not have masked values"),
        ((FEATURES, ERRORS, masked(IDS), IDS), "episode_ids must not have masked"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(errors.DemonstrationError, match=message):
        rank_tasks(*arguments)


def test_an_episode_that_takes_too_much_memory_is_refused():
    ids = np.repeat([3, 4], [9000, 1])
    with pytest.raises(errors.DemonstrationError, match="episode 3 has 9000 steps"):
        rank_tasks(np.ones((9001, 1)), np.ones((9001, 1)), ids, ids)


@pytest.mark.parametrize("task", ["opne", "wipe the table"])
def test_a_task_without_episodes_is_named(task):
    names = np.array(["open", "close", "push", "pull"])[IDS]
    hint = "Did you mean 'open'" if task == "opne" else "Record one episode"
    with pytest.raises(errors.UndemonstratedTaskError, match=f"'{task}' has .*{hint}"):
        rank_tasks(FEATURES, ERRORS, IDS, names, {"open": 0.5, task: 0.5})


def test_the_kind_of_an_id_is_told_where_it_is_all_that_is_wrong():
    words = "'0' has .* mean 0. The ids of tasks are int, not str"
    with pytest.raises(errors.UndemonstratedTaskError, match=words):
        rank_tasks(FEATURES, ERRORS, IDS, IDS, {"0": 1.0})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(task_weights=[0.5, 0.5, 0.5, 0.5]), "must sum to 1, got 2"),
        (dict(task_weights=[1.5, -0.5, 0, 0]), "4 numbers that are not negative"),
        (dict(task_weights=[0.5, 0.5]), "for tasks 0, 1, ... in order, or a mapping"),
        (dict(task_weights={0: "all"}), "4 numbers that are not negative"),
        (dict(task_weights="all"), "must be numbers for tasks 0, 1"),
        (dict(task_weights=np.float64(0.5)), "to its weight; got 0.5"),
        (dict(noise_variance=0.0), "noise_variance must be positive"),
        (dict(noise_variance=1e-30), "noise_variance must be .* from 1e-12 to 1e12"),
        (dict(projection_rank=0), "projection_rank must be a whole number from 1"),
        (dict(projection_rank=8193), "from 1 to 8192 or None, got 8193"),
        (dict(seed=-1), "seed must be a whole number from 0"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(errors.InvalidArgumentError, match=message):
        rank_tasks(FEATURES, ERRORS, IDS, IDS, **options)


@pytest.mark.parametrize("dtype", ["f2", ">f4", "f8", "i4"])
def test_any_real_numbers_will_do(dtype):
    features, outputs = np.round(4 * FEATURES), np.round(4 * ERRORS)
    expected = rank_tasks(features, outputs, IDS, IDS)
    found = rank_tasks(features.astype(dtype), outputs.astype(dtype), IDS, IDS)
    np.testing.assert_array_equal(found.values, expected.values)


@pytest.mark.parametrize("unit", [1e-310, 1e-60, 1e60])
@pytest.mark.parametrize(
    "rank",
    [
        lambda values: rank_tasks(FEATURES, values, IDS, IDS),
        lambda values: rank_tasks_by_gradients(values, IDS, IDS, projection_rank=30),
    ],
    ids=["factors", "projected gradients"],
)
def test_the_size_of_errors_does_not_matter(unit, rank):
    found = rank(ERRORS.astype(float) * unit)
    np.testing.assert_allclose(found.values, rank(ERRORS).values, rtol=1e-4)


def test_errors_that_are_all_zero_are_no_reason_to_choose():
    with pytest.warns(UserWarning, match="no demonstration is expected to tell any"):
        found = rank_tasks(FEATURES, 0 * ERRORS, IDS, IDS)
    assert found.tied == found.tasks == [0, 1, 2, 3]
