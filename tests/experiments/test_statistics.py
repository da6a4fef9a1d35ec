import itertools

import numpy as np
import pytest
import scipy.stats

from amf_jax.errors import InvalidArgumentError
from experiments import learning_curves, statistics
from experiments.runs import ResultsWarning


def test_two_seeds_have_their_own_values_as_interval():
    # A resample of (a, b) has mean a, (a+b)/2 or b with chances 1/4, 1/2, 1/4.
    summary = statistics.summarise([[0.2], [0.6]])
    np.testing.assert_allclose(summary.mean, [0.4])
    np.testing.assert_allclose(summary.interval, [[0.2], [0.6]])
    assert summary.seeds == 2


def test_interval_matches_all_resamples_of_four_seeds():
    values = np.array([[0.0, 5.0], [1.0, 3.0], [4.0, 2.0], [9.0, 1.0]])
    draws = np.array(list(itertools.product(range(4), repeat=4)))  # all 256, as likely
    means = values[draws].mean(axis=1)
    expected = np.percentile(means, [5, 95], axis=0, method="inverted_cdf")
    low, high = statistics.summarise(values).interval
    # the means lie on a grid of 1/4: sampling error may move an end by one step
    np.testing.assert_allclose(low, expected[0], atol=0.25)
    np.testing.assert_allclose(high, expected[1], atol=0.25)


def test_interval_matches_a_hand_loop():
    values = np.random.default_rng(1).normal(size=(10, 3))
    generator = np.random.default_rng(7)
    means = [values[generator.integers(10, size=10)].mean(axis=0) for _ in range(20000)]
    expected = np.percentile(means, [5, 95], axis=0)
    interval = statistics.summarise(values).interval
    np.testing.assert_allclose(interval, expected, atol=0.02)


def test_whole_runs_are_resampled_and_the_same_numbers_give_the_same_interval():
    curve = np.random.default_rng(2).normal(size=(6, 1))
    low, high = statistics.summarise(np.hstack([curve, 2 * curve + 1])).interval
    np.testing.assert_allclose(low[1], 2 * low[0] + 1)
    np.testing.assert_allclose(high[1], 2 * high[0] + 1)
    again = statistics.summarise(curve).interval
    np.testing.assert_array_equal(again, [low[:1], high[:1]])


def test_undefined_entries_are_nan_and_spare_the_others():
    values = np.array([[1.0, np.nan, 3.0], [1.0, 2.0, 5.0]])
    summary = statistics.summarise(values)
    np.testing.assert_array_equal(summary.mean, [1.0, np.nan, 4.0])
    np.testing.assert_array_equal(
        summary.interval, [[1.0, np.nan, 3.0], [1.0, np.nan, 5.0]]
    )


def test_one_seed_has_no_interval_and_says_so():
    with pytest.warns(ResultsWarning, match="only one seed"):
        summary = statistics.summarise([[0.3, 0.5]])
    np.testing.assert_array_equal(summary.mean, [0.3, 0.5])
    assert summary.interval is None


@pytest.mark.parametrize("values", [[], np.zeros((0, 4)), 1.0])
def test_no_seed_is_an_error(values):
    with pytest.raises(InvalidArgumentError, match="values holds no seed"):
        statistics.summarise(values)


def test_interquartile_mean_is_that_of_the_middle_half_of_seeds_and_tasks():
    # sorted 0 1 2 3 4 5 6 100: the middle four are 2 3 4 5
    summary = statistics.summarise_iqm([[0, 100, 2, 3], [4, 5, 6, 1]])
    np.testing.assert_allclose(summary.mean, 3.5)
    assert summary.seeds == 2


def test_tasks_are_resampled_on_their_own():
    # All seeds of a task are 0 with chance 1/4, those of both with chance 1/16 > 5 %;
    # whole runs, resampled together, would always have an interquartile mean of 1/2.
    summary = statistics.summarise_iqm([[0.0, 1.0], [1.0, 0.0]])
    np.testing.assert_allclose(summary.mean, 0.5)
    np.testing.assert_allclose(summary.interval, [0.0, 1.0])


def test_interquartile_means_of_rounds_match_all_resamples():
    values = np.random.default_rng(3).normal(size=(3, 2, 2))  # seeds, rounds, tasks
    draws = np.array(list(itertools.product(range(3), repeat=3)))
    expected = [
        scipy.stats.trim_mean(
            [*values[one, turn, 0], *values[other, turn, 1]], proportiontocut=0.25
        )
        for turn in range(2)
        for one, other in itertools.product(draws, draws)
    ]
    expected = np.percentile(np.reshape(expected, (2, -1)), [5, 95], axis=1)
    interval = statistics.summarise_iqm(values).interval
    np.testing.assert_allclose(interval, expected, atol=0.03)


def test_undefined_task_is_not_trimmed_away():
    values = np.arange(16.0).reshape(4, 2, 2)
    values[0, 1, 0] = np.nan
    summary = statistics.summarise_iqm(values)
    # round 0 holds 0 1 4 5 8 9 12 13, the middle four are 4 5 8 9
    np.testing.assert_array_equal(summary.mean, [6.5, np.nan])
    assert np.isnan(summary.interval[0]).tolist() == [False, True]


def test_interquartile_mean_needs_tasks():
    with pytest.raises(InvalidArgumentError, match=r"shape \(3,\); give"):
        statistics.summarise_iqm([0.1, 0.2, 0.3])


def test_probability_of_improvement_counts_pairs_and_half_of_ties():
    # 1 > 0; 1 = 1; 3 > 0; 3 > 1: (1 + 1/2 + 1 + 1) / 4
    summary = statistics.probability_of_improvement([1.0, 3.0], [0.0, 1.0])
    np.testing.assert_allclose(summary.mean, 0.875)


def test_probability_of_improvement_is_the_mann_whitney_statistic():
    generator = np.random.default_rng(4)
    x, y = generator.integers(0, 9, size=8), generator.integers(0, 9, size=6)
    expected = scipy.stats.mannwhitneyu(x, y).statistic / 48
    summary = statistics.probability_of_improvement(x, y)
    np.testing.assert_allclose(summary.mean, expected)
    assert summary.seeds == 6


def test_probability_of_improvement_resamples_both_sides():
    # x is (0, 0) or (2, 2) with chance 1/4 each, beyond every y
    summary = statistics.probability_of_improvement([0.0, 2.0], [1.0, 1.0])
    np.testing.assert_allclose(summary.interval, [0.0, 1.0])
    summary = statistics.probability_of_improvement([1.0, 1.0], [0.0, 2.0])
    np.testing.assert_allclose(summary.interval, [0.0, 1.0])


def test_paired_difference_is_blind_to_what_seeds_share():
    y = np.array([0.0, 0.5, 0.25, 1.0])
    summary = statistics.paired_difference(y + 0.125, y)
    np.testing.assert_array_equal(summary.mean, 0.125)
    np.testing.assert_array_equal(summary.interval, [0.125, 0.125])


def test_paired_difference_needs_the_same_seeds():
    with pytest.raises(InvalidArgumentError, match="the same seeds"):
        statistics.paired_difference([0.1, 0.2], [0.1, 0.2, 0.3])


def test_rank_correlation_is_that_of_the_means():
    values = np.random.default_rng(5).normal(size=(6, 5))
    order = [3, 1, 2, 5, 4]
    expected = scipy.stats.spearmanr(values.mean(axis=0), order).statistic
    np.testing.assert_allclose(
        statistics.rank_correlation(values, order).mean, expected
    )


def test_rank_correlation_resamples_whole_seeds():
    # the mean of two seeds follows the stronger one; alone, each has its own order
    values = [[0.0, 3.0, 6.0], [2.0, 1.0, 0.0]]
    summary = statistics.rank_correlation(values, [1, 2, 3])
    np.testing.assert_allclose(summary.mean, 1.0)
    np.testing.assert_allclose(summary.interval, [-1.0, 1.0])


@pytest.mark.parametrize(
    "estimate",
    [
        lambda: statistics.summarise_iqm([[0.25, 0.75]]),
        lambda: statistics.probability_of_improvement([0.5], [0.25, 0.5, 0.75]),
        lambda: statistics.paired_difference([0.75], [0.25]),
        lambda: statistics.rank_correlation([[0.5, 1.0]], [2, 4]),
        lambda: learning_curves.demos_to_shared_level(
            [[0.0, 1.0]], [[0.0, 0.5]], [0, 1]
        )[3],
    ],
)
def test_one_seed_gives_no_interval_anywhere(estimate):
    with pytest.warns(ResultsWarning, match="only one seed"):
        assert estimate().interval is None


def test_area_under_curve_by_hand():
    # trapezoids (0+1)/2 + (1+1)/2 + (1+0.5)/2 = 2.25 over 3 rounds
    values = [[0.0, 1.0, 1.0, 0.5], [1.0, 1.0, 1.0, 1.0]]
    np.testing.assert_allclose(learning_curves.area_under_curve(values), [0.75, 1.0])


def test_area_of_a_single_round_is_its_value():
    np.testing.assert_array_equal(
        learning_curves.area_under_curve([[0.4], [0.6]]), [0.4, 0.6]
    )


def test_demos_to_threshold_counts_until_the_first_time():
    values = [[0.2, 0.5, 0.4, 0.9], [0.6, 0.1, 0.1, 0.1], [0.1, 0.2, 0.3, 0.4]]
    shared = learning_curves.demos_to_threshold(values, [0, 2, 4, 6], 0.5)
    np.testing.assert_array_equal(shared, [2, 0, np.inf])
    own = [[0, 1, 2, 3], [5, 6, 7, 8], [0, 1, 2, 3]]
    np.testing.assert_array_equal(
        learning_curves.demos_to_threshold(values, own, 0.5), [1, 5, np.inf]
    )


def test_gaps_are_never_taken_for_numbers():
    nan = np.nan
    # without its gap the first curve might have been there after 2 demonstrations
    found = learning_curves.demos_to_threshold(
        [[0.1, nan, 0.6], [0.1, 0.6, 0.2]], [0, 2, 4], 0.5
    )
    np.testing.assert_array_equal(found, [nan, 2.0])
    summary = statistics.rank_correlation([[1.0, nan], [2.0, 3.0]], [0, 1])
    assert np.isnan(summary.mean)
    assert np.isnan(summary.interval).all()
    equal = statistics.rank_correlation([[1.0, 1.0], [2.0, 2.0]], [0, 1])
    assert float(equal.mean) == 0.0


def test_a_shared_level_is_found_anew_in_every_resample():
    x = [[0.0, 0.5, 1.0, 1.0], [0.0, 0.0, 0.0, 1.0]]
    y = [[0.0, 0.25, 0.5, 1.0], [0.0, 0.0, 0.25, 0.5]]
    # means 0, .25, .5, 1 and 0, .125, .375, .75: the level is .675; of seed 0 alone .9,
    # reached in rounds 2 and 3, and of seed 1 alone .45, in round 3 by both
    found = learning_curves.demos_to_shared_level(x, y, [0, 2, 4, 6])
    assert found[:3] == (pytest.approx(0.675), 6, 6)
    assert (found.saved.mean, *found.saved.interval, found.saved.seeds) == (0, 0, 2, 2)


def test_where_nothing_was_gained_the_level_is_the_lower_end():
    x, y = [[0.6, 0.7, 0.5]] * 2, [[0.6, 0.2, 0.4]] * 2
    found = learning_curves.demos_to_shared_level(x, y, [0, 1, 2])
    assert found[:3] == (pytest.approx(0.4), 0, 0)


def test_curves_with_gaps_or_of_other_seeds_have_no_shared_level():
    gap = [[0.0, np.nan, 1.0]] * 2
    found = learning_curves.demos_to_shared_level(gap, [[0.0, 0.5, 1.0]] * 2, [0, 1, 2])
    assert np.isnan([*found[:3], found.saved.mean, *found.saved.interval]).all()
    with pytest.raises(InvalidArgumentError, match="the same seeds"):
        learning_curves.demos_to_shared_level([[0.0, 1.0]], [[0.0, 1.0]] * 2, [0, 1])
