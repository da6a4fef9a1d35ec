"""Statistics over seeds: the paper's mean and interval, and scores of a curve."""

import warnings
from typing import NamedTuple

import numpy as np
import scipy.stats
from numpy.typing import ArrayLike

from amf_jax.errors import InvalidArgumentError
from experiments.results import ResultsWarning

#: Level of the interval and number of resamples, the same wherever one is shown.
CONFIDENCE = 0.9
RESAMPLES = 9999


class Summary(NamedTuple):
    """Mean and interval over seeds.

    Attributes:
      mean: `[...]`.
      interval: lower and upper end, each `[...]`; None with a single seed.
      seeds: how many seeds went in.
    """

    mean: np.ndarray
    interval: tuple[np.ndarray, np.ndarray] | None
    seeds: int


def summarise(values: ArrayLike) -> Summary:
    """Mean over seeds with its 90 % simple (percentile) bootstrap interval.

    Whole runs are resampled: one draw of seeds serves all rounds. The random stream is
    fixed, so the same numbers always give the same interval.

    Args:
      values: `[seeds, ...]`; a NaN makes the mean and interval of its entry NaN.

    Returns:
      The summary. With one seed the interval is None and a warning
      says so.

    Raises:
      InvalidArgumentError: if there is no seed at all.
    """
    values = np.asarray(values, dtype=float)
    if values.ndim == 0 or len(values) == 0:
        raise InvalidArgumentError(
            "values holds no seed; give an array [seeds, ...] of at least one"
        )
    mean = values.mean(axis=0)
    if len(values) == 1:
        warnings.warn(
            "only one seed: no interval can be given", ResultsWarning, stacklevel=2
        )
        return Summary(mean, None, 1)
    undefined = np.isnan(mean)  # scipy warns of NaN, and calls it degenerate
    interval = scipy.stats.bootstrap(
        (np.where(undefined, 0.0, values),),
        np.mean,
        axis=0,
        confidence_level=CONFIDENCE,
        n_resamples=RESAMPLES,
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(0),
    ).confidence_interval
    low, high = np.where(undefined, np.nan, [interval.low, interval.high])
    return Summary(mean, (low, high), len(values))


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
      `[seeds]`, infinite for a curve that never gets there.

    Example:
      >>> demos_to_threshold([[0.1, 0.6, 0.5], [0.1, 0.2, 0.3]], [0, 2, 4], 0.5)
      array([ 2., inf])
    """
    reached = np.asarray(values, dtype=float) >= threshold
    counts = np.broadcast_to(np.asarray(demos, dtype=float), reached.shape)
    return np.where(reached, counts, np.inf).min(axis=-1)
