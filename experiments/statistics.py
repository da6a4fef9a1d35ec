"""Statistics over seeds: the paper's mean and interval, and scores of a curve."""

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

#: How far a shared level lies on the way from round 0 to the lower end of two curves.
SHARE = 0.9


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


class SharedLevel(NamedTuple):
    """What two curves take to a level that both of them reach.

    Attributes:
      level: in the unit of the curves.
      first: demonstrations until the first one's mean over seeds is there.
      second: likewise.
      saved: how many fewer the first one takes.
    """

    level: float
    first: float
    second: float
    saved: Summary


def _check_seeds(name: str, values: ArrayLike) -> np.ndarray:
    array = np.asarray(values, dtype=float)
    if array.ndim == 0 or len(array) == 0:
        raise InvalidArgumentError(
            f"{name} holds no seed; give an array [seeds, ...] of at least one"
        )
    return array


def _check_pair(x: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    x, y = _check_seeds("x", x), _check_seeds("y", y)
    if x.shape != y.shape:
        raise InvalidArgumentError(
            f"x and y must hold the same seeds, got shapes {x.shape} and {y.shape}"
        )
    return x, y


def _bootstrap(
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
    return _bootstrap([values], np.mean, values.mean(axis=0))


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
    return _bootstrap(tasks, iqm, np.where(undefined, np.nan, iqm(*tasks, axis=0)))


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

    return _bootstrap([x, y], chance, chance(x, y, axis=0))


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
    x, y = _check_pair(x, y)
    return _bootstrap([x - y], np.mean, (x - y).mean(axis=0))


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
    return _bootstrap([seeds], statistic, correlation(values.mean(axis=0)))


def area_under_curve(values: ArrayLike) -> np.ndarray:
    """Area under a curve over rounds, per round, so that it has the curve's own unit.

    The trapezoidal area divided by the number of rounds: 1 for a policy that succeeds
    always, and comparable between runs of different length.

    Args:
      values: `[..., rounds]`.

    Returns:
      `[...]`.

    Example:
      >>> float(area_under_curve([0.0, 0.5, 1.0]))
      0.5
    """
    values = np.asarray(values, dtype=float)
    if values.shape[-1] == 1:
        return values[..., 0]
    return np.trapezoid(values, axis=-1) / (values.shape[-1] - 1)


def demos_to_threshold(
    values: ArrayLike, demos: ArrayLike, threshold: float
) -> np.ndarray:
    """Demonstrations collected when a curve first reaches a threshold.

    Args:
      values: `[seeds, rounds]`, such as the multi-task success.
      demos: `[rounds]` or `[seeds, rounds]`, demonstrations collected so far.
      threshold: in the unit of `values`.

    Returns:
      `[seeds]`, infinite for a curve that never gets there, NaN for one with gaps:
      it may have got there in one.

    Example:
      >>> demos_to_threshold([[0.1, 0.6, 0.5], [0.1, 0.2, 0.3]], [0, 2, 4], 0.5)
      array([ 2., inf])
    """
    values = np.asarray(values, dtype=float)
    counts = np.broadcast_to(np.asarray(demos, dtype=float), values.shape)
    first = np.where(values >= threshold, counts, np.inf).min(axis=-1)
    return np.where(np.isnan(values).any(axis=-1), np.nan, first)


def demos_to_shared_level(x: ArrayLike, y: ArrayLike, demos: ArrayLike) -> SharedLevel:
    """Demonstrations that two methods take to a level which both of them reach.

    The level lies 90 % of the way from the mean at round 0 to the lower of the means
    after the last round, and is that end where nothing was gained. Seeds are resampled
    in pairs, and the level is found anew each time: it is an estimate too.

    Args:
      x: `[seeds, rounds]`.
      y: `[seeds, rounds]`, of the same seeds in the same order (`runs.matched`).
      demos: `[rounds]`, demonstrations collected so far.

    Returns:
      The level and what it takes, NaN if a curve has gaps. With one seed there is no
      interval and a warning says so.

    Raises:
      InvalidArgumentError: if there is no seed at all, or the shapes differ.

    Example:
      >>> x, y = [[0.0, 0.6, 1.0], [0.0, 0.6, 1.0]], [[0.0, 0.2, 0.4], [0.0, 0.2, 0.4]]
      >>> level, first, second, saved = demos_to_shared_level(x, y, [0, 2, 4])
      >>> round(level, 3), first, second
      (0.36, 2.0, 4.0)
    """
    x, y = _check_pair(x, y)
    counts = np.asarray(demos, dtype=float)
    # Of gaps the estimate is NaN, and the interval is not used.
    whole = np.nan_to_num([x, y])

    def reached(means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:  # [2, ..., rounds]
        start = means[..., 0].mean(axis=0)
        end = means[..., -1].min(axis=0)
        level = np.minimum(start + SHARE * (end - start), end)
        return level, counts[(means >= level[..., None]).argmax(axis=-1)]

    def saved(index: np.ndarray, axis: int) -> np.ndarray:
        means = whole[:, index.astype(int)].mean(axis=axis - 1)
        first, second = reached(means)[1]
        return second - first

    level, (first, second) = reached(whole.mean(axis=1))
    if np.isnan([x, y]).any():
        level, first, second = np.full((3,), np.nan)
    summary = _bootstrap([np.arange(len(x))], saved, second - first)
    return SharedLevel(float(level), float(first), float(second), summary)
