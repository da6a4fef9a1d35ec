"""Weights of tasks as people give them: by the ids of the tasks, or by position."""

import difflib
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from amf_jax.dtypes import real_numbers
from amf_jax.errors import InvalidArgumentError, UndemonstratedTaskError


def in_order(given: Any, tasks: np.ndarray) -> Any:
    """The weights of the tasks in order; those that are not named have none.

    Raises:
      UndemonstratedTaskError: naming one with weight that no episode is of.
      InvalidArgumentError: weights by position of what has no positions.
    """
    if given is None:
        return None
    names = tasks.tolist()
    if not isinstance(given, Mapping):
        values = real_numbers(given)
        positions = range(0 if values is None or values.ndim != 1 else values.size)
        if values is None or not set(names) <= {*positions}:
            raise InvalidArgumentError(
                "task_weights must be numbers for tasks 0, 1, ... in order, or a"
                f" mapping from each of {_some(names)} to its weight; got"
                f" {reprlib.repr(given if values is None else values.tolist())}"
            )
        given = dict(zip(positions, values.tolist(), strict=True))
    texts = {str(name): name for name in names}
    for task, weight in given.items():
        if task not in names and weight != 0:
            near = difflib.get_close_matches(str(task), texts, n=1)
            hint = f" Did you mean {texts[near[0]]!r}?" if near else ""
            if str(task) in texts:
                kinds = type(names[0]).__name__, type(task).__name__
                hint += " The ids of tasks are {}, not {}.".format(*kinds)
            raise UndemonstratedTaskError(
                f"task {task!r} has a weight but no episode.{hint} Record one episode"
                " of it, or leave it out of task_weights"
            )
    return [given.get(task, 0) for task in names]


def _some(names: Sequence[Any]) -> str:
    return ", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else "")
