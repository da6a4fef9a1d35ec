"""Steps in arrays as episodes: checked, grouped, and given as demonstrations."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from amf_jax.demonstrations import Demonstrations
from amf_jax.dtypes import real_numbers
from amf_jax.errors import DemonstrationError
from amf_jax.streaming import Pool

#: A block of H steps takes several matrices of H x H numbers.
_LONGEST = 8192
#: Of a part of an array that is looked at, or copied, at once.
NUMBERS_AT_A_TIME = 1 << 22


class Episodes(NamedTuple):
    """Which steps belong together.

    Attributes:
      ids: of the steps' episodes `[n]`.
      tasks: ids of C tasks, in ascending order.
      order: the steps, episode by episode.
      starts: where each of N episodes starts in there.
      lengths: how many steps each has.
      task: which of the C tasks each is of.
    """

    ids: np.ndarray
    tasks: np.ndarray
    order: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    task: np.ndarray

    @staticmethod
    def of(episode_ids: Any, task_ids: Any, steps: int) -> "Episodes":
        """Groups steps by their ids; raises `DemonstrationError` for what is amiss."""
        ids = _ids("episode_ids", episode_ids, steps)
        names, step_tasks = np.unique(
            _ids("task_ids", task_ids, steps), return_inverse=True
        )
        _, episode = np.unique(ids, return_inverse=True)
        order = np.argsort(episode, kind="stable")
        lengths = np.bincount(episode)
        starts = np.cumsum(lengths) - lengths
        task = step_tasks[order[starts]]
        other = step_tasks[order] != np.repeat(task, lengths)
        if other.any():
            step = order[np.argmax(other)]
            raise DemonstrationError(
                f"episode {ids[step].item()!r} is of the tasks"
                f" {names[task[episode[step]]].item()!r} and"
                f" {names[step_tasks[step]].item()!r} (at step {step}); an episode must"
                " be of one task: give its parts ids of their own"
            )
        if lengths.max() > _LONGEST:
            longest = ids[order[starts[np.argmax(lengths)]]].item()
            raise DemonstrationError(
                f"episode {longest!r} has {lengths.max()} steps, and more than"
                f" {_LONGEST} take too much memory; keep every second one, or fewer"
            )
        if len(names) == 1:
            raise DemonstrationError(
                f"all {len(lengths)} episodes are of the task {names[0].item()!r};"
                " ranking needs episodes of at least two tasks"
            )
        return Episodes(ids, names, order, starts, lengths, task)


def pool_of(
    observations: np.ndarray,
    actions: np.ndarray,
    exponent: int,
    episodes: Episodes,
    tasks: np.ndarray,
) -> Pool:
    """The episodes as demonstrations, those of similar length together.

    Actions are divided by two to the power of `exponent`.

    An episode is padded to the longest among those of its length up to a power of two:
    to less than twice its length.
    """
    doublings = np.ceil(np.log2(episodes.lengths))

    def pool() -> Iterator[Demonstrations]:
        for power in np.unique(doublings):
            (alike,) = np.nonzero(doublings == power)
            horizon = episodes.lengths[alike].max()
            width = observations.shape[1] + actions.shape[1]
            size = max(1, NUMBERS_AT_A_TIME // (width * horizon))
            for first in range(0, len(alike), size):
                yield batch(alike[first : first + size], np.arange(horizon))

    def batch(rows: np.ndarray, time: np.ndarray) -> Demonstrations:
        lengths = episodes.lengths[rows, None]
        recorded = np.minimum(time, lengths - 1)
        steps = episodes.order[episodes.starts[rows, None] + recorded]
        arrays: dict[str, Any] = dict(
            observations=observations[steps].astype(np.float32),
            actions=scaled(actions[steps], exponent),
            step_mask=time < lengths,
            tasks=tasks[episodes.task[rows]],
            task_ids=episodes.task[rows].astype(np.int32),
            demo_mask=np.ones(len(rows), bool),
        )
        return Demonstrations(**arrays)

    return pool


def scaled(values: np.ndarray, exponent: int) -> np.ndarray:
    """Values over two to the power of `exponent`, and in single precision then.

    Example:
      >>> print(scaled(np.array([1e-310, 0.0]), exponent=-1029).round(3))
      [0.575 0.   ]
    """
    return np.ldexp(values.astype(float), -exponent).astype(np.float32)


def matrix(name: str, values: Any) -> np.ndarray:
    """An array of real numbers with a row for each step.

    Raises:
      DemonstrationError: what is none, or empty, or masked in part.
    """
    _check_unmasked(name, values)
    array = real_numbers(values)
    if array is None or array.ndim != 2 or 0 in array.shape:
        got = repr(type(values).__name__) if array is None else f"shape {array.shape}"
        raise DemonstrationError(
            f"{name} must be real numbers [n, width], a row for each of at least one"
            f" recorded step; got {got}"
        )
    return array


def _check_unmasked(name: str, values: Any) -> None:
    if np.ma.is_masked(values):
        raise DemonstrationError(
            f"{name} must not have masked values; leave out the steps that do"
        )


def _ids(name: str, values: Any, steps: int) -> np.ndarray:
    _check_unmasked(name, values)
    try:
        array = np.asarray(values)
    except ValueError:  # ragged
        array = np.asarray(None)
    if array.dtype.kind not in "iuU":
        raise DemonstrationError(
            f"{name} must be integers or strings, got {array.dtype}; convert them by"
            " .astype(int) or .astype(str)"
        )
    if array.shape != (steps,):
        raise DemonstrationError(
            f"{name} has shape {array.shape}, but there are {steps} steps; it must hold"
            " one id per step"
        )
    return array


def check_finite(
    name: str, values: np.ndarray, episodes: Episodes, bound: float = math.inf
) -> float:
    """The largest magnitude.

    Raises:
      DemonstrationError: NaN, or what is not below the bound, with where it is.
    """
    rows, largest = max(1, NUMBERS_AT_A_TIME // values.shape[1]), 0.0
    for first in range(0, len(values), rows):
        sizes = np.abs(values[first : first + rows].astype(float)).max(axis=1)
        fine = sizes < bound  # False for NaN
        if not fine.all():
            step = first + int(np.argmin(fine))
            raise DemonstrationError(
                f"{name} holds {sizes[step - first]:g} at step {step}, of episode"
                f" {episodes.ids[step].item()!r}; it must be finite and below"
                f" {bound:g}: leave that episode out, or find out what the policy makes"
                " of that step"
            )
        largest = max(largest, float(sizes.max()))
    return largest
