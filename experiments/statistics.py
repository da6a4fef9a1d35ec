"""Statistics over seeds: the paper's mean and interval, and how methods compare."""

import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import scipy.stats
from numpy.typing import ArrayLike

from amf_jax.errors import InvalidArgumentError
from experiments.runs import ResultsWarning

#: Level of the interval and number of resamples, the same wherever one is shown.
CONFIDENCE = 0.9
RESAMPLES = 9999


class Summary(NamedTuple):
    """An estimate and its interval over seeds.

    Attributes:
      mean: `[...]`, the mean over seeds, or the estimate that stands in its place.
      interval: lower and upper end, each `[...]`; None with a single seed.
      seeds: how many seeds went in.
    """

    mean: np.ndarray
    interval: tuple[np.ndarray, np.ndarray] | None
    seeds: int


def _check_seeds(name: str, values: ArrayLike) -> np.ndarray:
    array = np.asarray(values, dtype=float)
    if array.ndim == 0 or len(array) == 0:
        raise InvalidArgumentError(
            f"{name} holds no seed; give an array [seeds, ...] of at least one"
        )
    return array


def check_pair(x: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Two arrays `[seeds, ...]` of the same seeds.

    Raises:
      InvalidArgumentError: if there is no seed at all, or the shapes differ.
    """
    x, y = _check_seeds("x", x), _check_seeds("y", y)
    if x.shape != y.shape:
        raise InvalidArgumentError(
            f"x and y must hold the same seeds, got shapes {x.shape} and {y.shape}"
        )
    return x, y


def bootstrap(
    samples: Sequence[np.ndarray],
    statistic: Callable[..., np.ndarray],
    estimate: np.ndarray,
) -> Summary:
    """Percentile bootstrap; every sample `[seeds, ...]` is resampled on its own.

    The random stream is fixed, so the same numbers always give the same interval.
    """
    seeds = min(map(len, samples))
    if seeds == 1:
        warnings.warn(
            "only one seed: no interval can be given", ResultsWarning, stacklevel=3
        )
        return Summary(estimate, None, 1)
    undefined = np.isnan(estimate)  # scipy warns of NaN, and calls it degenerate
    interval = scipy.stats.bootstrap(
        [np.where(undefined, 0.0, sample) for sample in samples],
        statistic,
        axis=0,
        confidence_level=CONFIDENCE,
        n_resamples=RESAMPLES,
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(0),
    ).confidence_interval
    low, high = np.where(undefined, np.nan, [interval.low, interval.high])
    return Summary(estimate, (low, high), seeds)


def summarise(values: ArrayLike) -> Summary:
    """Mean over seeds with its 90 % simple (percentile) bootstrap interval.

    Whole runs are resampled: one draw of seeds serves all rounds.

    Args:
      values: `[seeds, ...]`; a NaN makes the mean and interval of its entry NaN.

    Returns:
      The summary. With one seed the interval is None and a warning says so.

    Raises:
      InvalidArgumentError: if there is no seed at all.
    """
    values = _check_seeds("values", values)
    return bootstrap([values], np.mean, values.mean(axis=0))


def summarise_iqm(values: ArrayLike) -> Summary:
    """Interquartile mean over seeds and tasks with a stratified bootstrap interval.

    The mean of the middle half of the seeds × C numbers, which neither a failed run nor
    a task that everyone solves decides; each task's seeds are resampled on their own.

    Args:
      values: `[seeds, ..., C]`; a NaN makes its entry NaN.

    Returns:
      The summary, `[...]`. With one seed the interval is None and a warning says so.

    Raises:
      InvalidArgumentError: if there is no seed at all, or no axis of tasks.

    References:
      Agarwal et al. 2021, Deep Reinforcement Learning at the Edge of the Statistical
      Precipice.
    """
    values = _check_seeds("values", values)
    if values.ndim < 2:
        raise InvalidArgumentError(
            f"values has shape {values.shape}; give [seeds, ..., C] with a last axis of"
            " tasks"
        )

    def iqm(*tasks: np.ndarray, axis: int) -> np.ndarray:
        return scipy.stats.trim_mean(np.concatenate(tasks, axis=axis), 0.25, axis=axis)

    tasks = [values[..., task] for task in range(values.shape[-1])]
    undefined = np.isnan(values).any(axis=(0, -1))  # trimming would hide it
    return bootstrap(tasks, iqm, np.where(undefined, np.nan, iqm(*tasks, axis=0)))


def probability_of_improvement(x: ArrayLike, y: ArrayLike) -> Summary:
    """Chance that a run of X scores higher than a run of Y, ties counting half.

    P(X > Y) + P(X = Y) / 2 over all pairs of a seed of X and a seed of Y: the
    Mann-Whitney statistic divided by its maximum. As published it compares any run with
    any other and does not match seeds; `paired_difference` does.

    Args:
      x: `[seeds]`, one score per run.
      y: `[seeds']`, likewise; the number of seeds may differ.

    Returns:
      The summary, in [0, 1]; both sides are resampled. With one seed on either side the
      interval is None and a warning says so.

    Raises:
      InvalidArgumentError: if there is no seed at all.

    References:
      Agarwal et al. 2021, Deep Reinforcement Learning at the Edge of the Statistical
      Precipice.
    """
    x, y = _check_seeds("x", x), _check_seeds("y", y)

    def chance(x: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
        x, y = np.moveaxis(x, axis, -1), np.moveaxis(y, axis, -1)
        order = np.sign(x[..., :, None] - y[..., None, :])
        return (order.mean(axis=(-2, -1)) + 1) / 2

    return bootstrap([x, y], chance, chance(x, y, axis=0))


def paired_difference(x: ArrayLike, y: ArrayLike) -> Summary:
    """Mean over seeds of x - y with its interval: each seed against itself.

    Args:
      x: `[seeds, ...]`.
      y: `[seeds, ...]`, of the same seeds in the same order (`runs.matched`).

    Returns:
      The summary. With one seed the interval is None and a warning says so.

    Raises:
      InvalidArgumentError: if there is no seed at all, or the shapes differ.
    """
    x, y = check_pair(x, y)
    return bootstrap([x - y], np.mean, (x - y).mean(axis=0))


def rank_correlation(values: ArrayLike, order: ArrayLike) -> Summary:
    """Spearman's correlation of means over seeds with a number that orders them.

    Args:
      values: `[seeds, K]`; whole seeds are resampled.
      order: `[K]`, such as the number of demonstrated tasks of each setting.

    Returns:
      The summary, in [-1, 1], 0 where all means are equal. With one seed the interval
      is None and a warning says so.

    Raises:
      InvalidArgumentError: if there is no seed at all.
    """
    values = _check_seeds("values", values)
    positions = scipy.stats.rankdata(order)
    centre = positions.mean()

    def correlation(means: np.ndarray) -> np.ndarray:  # [..., K]
        ranks = scipy.stats.rankdata(means, axis=-1) - centre
        spread = np.sqrt((ranks**2).sum(axis=-1) * ((positions - centre) ** 2).sum())
        shared = (ranks * (positions - centre)).sum(axis=-1)
        constant = spread == 0  # NaN is not, and stays what it is
        return np.where(constant, 0.0, shared / np.where(constant, 1.0, spread))

    # Of gaps the estimate is NaN, and the interval is not used; scipy warns of NaN.
    whole = np.nan_to_num(values)

    def statistic(index: np.ndarray, axis: int) -> np.ndarray:
        return correlation(whole[index.astype(int)].mean(axis=axis - 1))

    seeds = np.arange(len(values))
    return bootstrap([seeds], statistic, correlation(values.mean(axis=0)))
