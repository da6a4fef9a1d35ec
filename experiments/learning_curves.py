"""Scores of learning curves: the area under one, and what it takes to a level."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from experiments import statistics
from experiments.statistics import Summary

#: How far a shared level lies on the way from round 0 to the lower end of two curves.
SHARE = 0.9


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
    x, y = statistics.check_pair(x, y)
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
    summary = statistics.bootstrap([np.arange(len(x))], saved, second - first)
    return SharedLevel(float(level), float(first), float(second), summary)
