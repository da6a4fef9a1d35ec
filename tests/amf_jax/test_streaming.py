"""Selection from a pool that is read in passes: the same answer; what it refuses."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amf_jax import demonstrations, embeddings, errors, streaming
from amf_jax.streaming import reading, steps
from tests import problems

POLICY = problems.tiny_policy()
EMBEDDING = embeddings.last_layer_gradient(POLICY.last_layer)
CONTEXT = problems.tiny_context(task_ids=(0, 1, 0, 2, 1, 1, 2), capacity=8)


def rows(first, last, demos=CONTEXT.demos):
    return jax.tree.map(lambda leaf: np.array(leaf[first:last]), demos)


def batches(*sizes, demos=CONTEXT.demos):
    """A pool that gives so many demonstrations at a time; the last row is padding."""
    bounds = np.cumsum([0, *sizes])

    def pool():
        for first, last in zip(bounds[:-1], bounds[1:], strict=True):
            yield rows(first, last, demos)

    return pool


def select(pool, context=CONTEXT, embedding=EMBEDDING, **options):
    return streaming.select(
        pool,
        embedding,
        POLICY.log_likelihood,
        context.tasks,
        params=context.params,
        embedding_params=context.embedding_params,
        task_weights=context.task_weights,
        **{"noise_variance": 0.3, "microbatch_size": 2, **options},
    )


def in_memory(context=CONTEXT, embedding=EMBEDDING, space="weight", **options):
    selector = problems.amf(
        embedding, POLICY.log_likelihood, space=space, noise_variance=0.3, **options
    )
    state = jax.jit(selector.init)(context)
    choice, _, info = jax.jit(selector.select)(jax.random.key(0), state, context)
    return choice, info


def assert_same(streamed, expected):
    (choice, info), (expected_choice, expected_info) = streamed, expected
    assert int(choice.task_id) == int(expected_choice.task_id)
    np.testing.assert_array_equal(choice.task, expected_choice.task)
    np.testing.assert_allclose(info.scores, expected_info.scores, rtol=1e-4)
    np.testing.assert_allclose(
        info.effective_sample_size, expected_info.effective_sample_size, rtol=1e-5
    )
    np.testing.assert_allclose(
        info.pruned_weight, expected_info.pruned_weight, atol=1e-6
    )
    count = info.importance_weights.shape[1]
    np.testing.assert_allclose(
        info.importance_weights,
        expected_info.importance_weights[:, :count],
        atol=1e-6,
    )


@pytest.mark.parametrize(
    "options",
    [
        dict(space="function"),
        dict(weights="plain", weight_tolerance=0.3),
        dict(weights="off", weight_tolerance=None, normalise_kernel=False),
        dict(weights="deterministic", condition_on_history=False),
        dict(likelihood_clip=(-9.0, 0.0)),
    ],
)
def test_scores_and_choice_are_those_of_the_pool_in_memory(options):
    expected = in_memory(**options)
    options.pop("space", None)
    assert_same(select(batches(3, 4), **options), expected)
    assert np.ptp(expected[1].scores) > 1e-2 * np.max(expected[1].scores)


@pytest.mark.parametrize("sizes", [(8,), (1, 1, 5), (2, 3, 1, 1)])
@pytest.mark.parametrize("microbatch_size", [1, 3, 50])
def test_neither_batches_nor_microbatches_matter(sizes, microbatch_size):
    reference = select(batches(7))
    assert_same(select(batches(*sizes), microbatch_size=microbatch_size), reference)


def test_a_sketch_of_a_network_is_the_same_point_as_in_memory():
    def layer_gradients(params, key, *example):
        return (embeddings.FactoredGradient(*POLICY.last_layer(params, key, *example)),)

    embedding = embeddings.projected_gradient(layer_gradients, rank=5)
    expected = in_memory(embedding=embedding)
    assert_same(select(batches(4, 3), embedding=embedding), expected)


def test_padding_may_hold_anything():
    broken = CONTEXT.demos.observations
    broken = jnp.where(CONTEXT.demos.step_mask[..., None], broken, jnp.nan)
    pool = batches(8, demos=CONTEXT.demos._replace(observations=broken))
    assert_same(select(pool), select(batches(7)))


def test_progress_counts_demonstrations_and_then_the_pairs_that_are_kept():
    told = []
    select(
        batches(3, 4),
        weights="deterministic",
        on_progress=lambda *news: told.append(news),
    )
    assert told == [
        *[("weights", done, None) for done in (2, 4, 6, 7)],
        ("weights", 7, 7),
        *[("moments", done, 7) for done in (2, 4, 6, 7)],
        *[("scores", done, 7) for done in (2, 4, 6, 7)],
    ]


def test_the_pool_is_gone_through_three_times_and_never_held():
    started, alive, most = [], set(), [0]

    class Batch(tuple):
        """Tells when it is let go."""

        def __del__(self):
            alive.discard(id(self))

    def pool():
        started.append(True)
        for first in range(7):
            batch = Batch(rows(first, first + 1))
            alive.add(id(batch))
            most[0] = max(most[0], len(alive))
            yield demonstrations.Demonstrations(*batch)
            del batch

    select(pool)
    assert len(started) == 3
    assert most[0] <= 2


def test_a_larger_pool_of_the_same_shapes_compiles_nothing():
    sizes = [len(select(batches(count))[1].importance_weights[0]) for count in (5, 6)]
    assert sizes == [5, 6]
    compiled = [
        function._cache_size()
        for function in (steps.log_likelihoods, steps.add_moments, steps.scores)
    ]
    select(batches(7))
    assert compiled == [
        function._cache_size()
        for function in (steps.log_likelihoods, steps.add_moments, steps.scores)
    ]


def test_a_sum_of_many_terms_rounds_once():
    """Ones beside 2^24: each is lost by itself, and none of them here."""
    held = steps.Sum(jnp.full(1, 2.0**24), jnp.zeros(1))
    add = jax.jit(steps.add)
    for _ in range(101):
        held = add(held, jnp.ones(1))
    assert float(held.total[0]) != 2**24 + 101
    assert steps.value(held) == [2**24 + 101]


def test_what_is_whitened_has_the_precision_of_doubles():
    """A history that knows one direction 10^8 times better than another."""
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    eigenvalues = np.logspace(8, 0, 6)
    exact = (turn * eigenvalues) @ turn.T
    total = exact.astype(np.float32)
    moment = steps.Sum(total, (exact - total).astype(np.float32))
    given = steps.whiten(
        steps.Moments(moment, moment), noise_variance=0.5, mass=None, dtype=np.float32
    )
    # L^-1 G L^-T has the eigenvalues g / (g + noise), and the noise comes on top.
    expected = np.sort(0.5 * eigenvalues / (eigenvalues + 0.5))
    half = np.asarray(given.half_moment, np.float64)
    found = np.linalg.eigvalsh(half + half.T)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def changing(first, later):
    calls = []

    def pool():
        calls.append(True)
        return (first if len(calls) == 1 else later)()

    return pool


SHUFFLED = jax.tree.map(
    lambda leaf: leaf[jnp.array([0, 1, 3, 2, 4, 5, 6, 7])], CONTEXT.demos
)


@pytest.mark.parametrize(
    ("later", "message"),
    [
        (
            batches(3, demos=CONTEXT.demos),
            "7 demonstrations in the first pass and 3 in a",
        ),
        (batches(7, demos=SHUFFLED), "demonstration 2 of the pool is not what it was"),
        (lambda: iter(()), "an iterator that starts anew"),
    ],
)
def test_a_pool_that_changes_between_passes_is_refused(later, message):
    with pytest.raises(errors.ChangedPoolError, match=message):
        select(changing(batches(7), later))


def test_a_pool_that_grows_between_passes_is_refused():
    with pytest.raises(errors.ChangedPoolError, match="5 demonstrations .* and more"):
        select(changing(batches(5), batches(5, 2)))


def test_an_iterator_in_place_of_a_pool_is_refused():
    unchecked = inspect.unwrap(streaming.select)  # the type says so too
    with pytest.raises(errors.InvalidArgumentError, match="pool must be a function"):
        unchecked(
            batches(7)(),
            EMBEDDING,
            POLICY.log_likelihood,
            CONTEXT.tasks,
            params=CONTEXT.params,
            embedding_params=CONTEXT.embedding_params,
        )


@pytest.mark.parametrize(
    ("demos", "message"),
    [
        (rows(7, 8), "every demonstration is masked"),
        (
            rows(0, 3)._replace(task_ids=np.array([0, -1, 0])),
            "demonstration 1 has task",
        ),
        (rows(0, 3)._replace(tasks=np.ones((3, 2))), "demonstration 0 has task id 0"),
        (rows(0, 3)._replace(actions=np.full((3, 3, 2), np.nan)), "actions is NaN"),
    ],
)
def test_demonstrations_that_do_not_fit_are_refused(demos, message):
    with pytest.raises(errors.DemonstrationError, match=message):
        select(lambda: iter([demos]))


@pytest.mark.parametrize("microbatch_size", [2, None])
def test_batches_may_differ_in_horizon(microbatch_size):
    cut = np.arange(3) < [[3], [3], [3], [2], [2], [2], [3], [3]]
    demos = CONTEXT.demos._replace(step_mask=CONTEXT.demos.step_mask & cut)
    expected = in_memory(CONTEXT._replace(demos=demos), weights="deterministic")

    def shorter(demos):
        fields = "observations", "actions", "step_mask"
        return demos._replace(**{name: getattr(demos, name)[:, :2] for name in fields})

    def pool():
        yield rows(0, 3, demos)
        yield shorter(rows(3, 6, demos))
        yield rows(6, 7, demos)

    found = select(pool, weights="deterministic", microbatch_size=microbatch_size)
    assert_same(found, expected)


def test_batches_of_different_widths_are_refused():
    wider = rows(0, 1)._replace(actions=np.zeros((1, 3, 5)))
    with pytest.raises(errors.DemonstrationError, match="demonstration 3 has .* sizes"):
        select(lambda: iter([rows(0, 3), wider]))


def test_an_empty_pool_is_refused():
    with pytest.raises(errors.DemonstrationError, match="pool holds no demonstration"):
        select(lambda: iter(()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(microbatch_size=0), "microbatch_size must be a whole number, at least"),
        (dict(likelihood_clip=(0.0, -12.0)), "likelihood_clip must be two numbers"),
        (dict(noise_variance=0.0), "noise_variance must be positive"),
        (dict(embedding=EMBEDDING._replace(features=None)), "projected_gradient"),
    ],
)
def test_options_out_of_range_are_refused_before_the_pool_is_read(options, message):
    with pytest.raises(errors.InvalidArgumentError, match=message):
        select(lambda: pytest.fail("it was read"), **options)


def test_a_task_without_demonstrations_is_named_after_the_first_pass():
    passes = []
    with pytest.raises(errors.UndemonstratedTaskError, match="task 2"):
        select(
            batches(3),
            weights="deterministic",
            on_progress=lambda name, *counts: passes.append(name),
        )
    assert set(passes) == {"weights"}


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("task_ids", lambda ids: ids + 0.9),
        ("task_ids", lambda ids: ids.astype(np.int64) + 2**32),
        ("step_mask", lambda mask: np.where(mask, 1.0, np.nan)),
        ("actions", lambda actions: actions + 1j),
    ],
)
def test_no_type_is_cast_to_that_of_another_field(name, change):
    demos = jax.tree.map(np.asarray, CONTEXT.demos)
    demos = demos._replace(**{name: change(getattr(demos, name))})
    with pytest.raises(errors.DemonstrationError, match=f"demonstrations.{name} must"):
        select(batches(8, demos=demos))


def test_masks_of_numbers_are_read_as_booleans():
    demos = jax.tree.map(np.asarray, CONTEXT.demos)
    demos = demos._replace(step_mask=demos.step_mask.astype(np.uint8))
    vectors = np.asarray(CONTEXT.tasks)
    plain, whole = (
        next(reading.first_pass(batches(8, demos=given), vectors))[2]
        for given in (CONTEXT.demos, demos)
    )
    jax.tree.map(np.testing.assert_array_equal, whole, plain)


def test_a_pool_that_returns_no_iterator_is_refused():
    with pytest.raises(errors.InvalidArgumentError, match="must return an iterator"):
        select(lambda: None)
