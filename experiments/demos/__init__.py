"""Files of demonstrations: episodes of a simulated suite's experts, and pictures."""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from amf_jax import errors
from experiments.suites import kitchen, metaworld
from experiments.suites.recording import World

__all__ = ["WORLDS", "Entry", "file_stem", "task_ids"]


class Entry(NamedTuple):
    """A simulated suite.

    Attributes:
      task_names: known before anything is compiled.
      world: compiles the scene.
    """

    task_names: tuple[str, ...]
    world: Callable[[], World]


#: The registry of simulated suites: one line each.
WORLDS: Mapping[str, Entry] = {
    "kitchen": Entry(kitchen.TASK_NAMES, kitchen.world),
    "metaworld": Entry(metaworld.TASK_NAMES, metaworld.world),
}


def task_ids(suite: str, task: str | None) -> tuple[int, ...]:
    """Indices of the tasks that are asked for.

    Args:
      suite: a key of `WORLDS`.
      task: name of a task, words apart by spaces, hyphens or underscores; all if None.

    Raises:
      UnknownNameError: no such suite or task.

    Example:
      >>> task_ids("kitchen", "Knob_off"), task_ids("metaworld", None)
      ((1,), (0, 1, 2, 3))
    """
    if suite not in WORLDS:
        raise errors.UnknownNameError("simulated suite", suite, WORLDS)
    names = WORLDS[suite].task_names
    if task is None:
        return tuple(range(len(names)))
    name = re.sub("[ _-]+", " ", task.strip().lower())
    if name not in names:
        raise errors.UnknownNameError(f"task of {suite}", task, names)
    return (names.index(name),)


def file_stem(task_name: str) -> str:
    """A task's name in file names: `knob on` is `knob_on`."""
    return task_name.replace(" ", "_")
