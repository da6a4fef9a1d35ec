"""Learning progress: slopes of success, and draws in proportion to them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from amf_jax import errors, selectors
from amf_jax.selectors.learning_progress import recent_slope
from tests import problems

NAN = 3 * [np.nan]


def context_with(evaluations, weights=(1 / 3, 1 / 3, 1 / 3)):
    return problems.tiny_context()._replace(
        evaluations=jnp.asarray(evaluations, jnp.float32),
        task_weights=jnp.asarray(weights, jnp.float32),
    )


def frequencies(context, draws=3000, **options):
    """How often each task is drawn, and the scores."""
    selector = selectors.learning_progress(**options)
    state = selector.init(context)
    keys = jax.random.split(jax.random.key(0), draws)
    select = jax.jit(jax.vmap(selector.select, in_axes=(0, None, None)))
    choices, _, info = select(keys, state, context)
    np.testing.assert_array_equal(choices.task, context.tasks[choices.task_id])
    return np.bincount(choices.task_id, minlength=3), info.scores[0]


def test_slopes_are_those_of_a_least_squares_fit():
    rng = np.random.default_rng(0)
    success = rng.uniform(size=(9, 3)).astype(np.float32)
    success[[2, 5]] = np.nan  # not evaluated
    success[8:] = np.nan  # to come
    rounds = np.array([1, 3, 4, 6, 7])  # the last five of 0 1 3 4 6 7
    expected = [scipy.stats.linregress(rounds, success[rounds, c])[0] for c in range(3)]
    actual = jax.jit(recent_slope, static_argnums=1)(success, 5)
    np.testing.assert_allclose(actual, expected, 1e-5)


def test_a_round_counts_only_if_every_task_was_evaluated():
    success = np.array([[0.0, 0.0], [np.nan, 0.9], [0.5, 0.1]], np.float32)
    np.testing.assert_allclose(recent_slope(jnp.asarray(success), 5), [0.25, 0.05])


def test_tasks_are_drawn_in_proportion_to_their_absolute_progress():
    # slopes 0.2, -0.1 and 0; a tenth of the draws is uniform
    evaluations = [[0.0, 0.5, 0.3], NAN, [0.4, 0.3, 0.3], NAN, NAN]
    counts, scores = frequencies(context_with(evaluations))
    np.testing.assert_allclose(scores, np.array([0.2, 0.1, 0.0]) / 3, 1e-5)
    expected = np.array([0.6, 0.3, 0.0]) + 0.1 / 3
    assert scipy.stats.chisquare(counts, expected * counts.sum()).pvalue > 0.01


def test_progress_counts_by_the_weight_of_its_task():
    # 0.5 * 0.2 against 0.25 * 0.4: equal
    evaluations = [[0.0, 0.5, 0.0], [0.2, 0.5, 0.4]]
    context = context_with(evaluations, (0.5, 0.25, 0.25))
    counts, _ = frequencies(context, exploration=0.0)
    assert counts[1] == 0
    assert scipy.stats.chisquare(counts[[0, 2]]).pvalue > 0.01


def test_only_the_last_rounds_of_the_window_count():
    evaluations = [[0.0, 0.9, 0.0], [0.0, 0.1, 0.0], [0.1, 0.1, 0.0]]
    counts, _ = frequencies(
        context_with(evaluations), draws=200, window=2, exploration=0.0
    )
    np.testing.assert_array_equal(counts, [200, 0, 0])


@pytest.mark.parametrize(
    "evaluations",
    [
        [[0.1, 0.7, 0.3], NAN, NAN],  # a single evaluation
        [[0.1, 0.7, 0.3]] * 6,  # sums of which round differently
        [[0.1, 0.7, 0.3], NAN, [0.1, 0.7, 0.3], [0.1, 0.7, 0.3]],
    ],
)
def test_without_progress_the_draw_is_uniform(evaluations):
    counts, scores = frequencies(context_with(evaluations), exploration=0.0)
    np.testing.assert_array_equal(scores, np.zeros(3))
    assert scipy.stats.chisquare(counts).pvalue > 0.01


def test_full_exploration_is_uniform():
    evaluations = [[0.0, 0.0, 0.0], [0.9, 0.0, 0.0]]
    counts, _ = frequencies(context_with(evaluations), exploration=1.0)
    assert scipy.stats.chisquare(counts).pvalue > 0.01


def test_rounds_to_come_change_nothing():
    held = [[0.1, 0.7, 0.3], [0.3, 0.6, 0.4]]
    short, short_scores = frequencies(context_with(held), draws=100)
    long, scores = frequencies(context_with(held + 7 * [NAN]), draws=100)
    np.testing.assert_array_equal(long, short)
    np.testing.assert_allclose(scores, short_scores, 1e-6)


@pytest.mark.parametrize("evaluations", [[NAN] * 3, [[0.5, np.nan, 0.5], NAN]])
def test_without_any_evaluation_nothing_is_chosen(evaluations):
    context = context_with(evaluations)
    selector = selectors.learning_progress()
    state = selector.init(context)
    choice, _, info = jax.jit(selector.select)(jax.random.key(0), state, context)
    assert choice.task_id == -1
    assert np.isnan(choice.task).all()
    with pytest.raises(errors.SelectionError, match="evaluate must return 'success'"):
        selectors.check_choice(choice, info)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(exploration=-0.1), "exploration must be between 0 and 1, got -0.1"),
        (dict(exploration=1.1), "exploration"),
        (dict(exploration=float("nan")), "exploration"),
        (dict(window=1), "window must be a whole number, at least 2"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(errors.InvalidArgumentError, match=message):
        selectors.make("learning_progress", **options)


def test_no_evaluations_at_all_are_refused():
    selector = selectors.learning_progress()
    with pytest.raises(errors.InvalidArgumentError, match="attempts > 0"):
        jax.jit(selector.init)(problems.tiny_context())
