"""Files of demonstrations: episodes of a simulated suite's experts, and pictures."""

import re
from collections.abc import Callable

from amf_jax import errors
from experiments.suites.recording import World
from experiments.suites.registry import SUITES


def worlds() -> dict[str, Callable[[], World]]:
    """What compiles the scene of each simulated suite, by its name."""
    return {name: suite.world for name, suite in SUITES.items() if suite.world}


def task_ids(suite: str, task: str | None) -> tuple[int, ...]:
    """Indices of the tasks that are asked for.

    Args:
      suite: one of `worlds`.
      task: name of a task, words apart by spaces, hyphens or underscores; all if None.

    Raises:
      UnknownNameError: no such suite or task.

    Example:
      >>> task_ids("kitchen", "Knob_off"), task_ids("metaworld", None)
      ((1,), (0, 1, 2, 3))
    """
    errors.check_name("simulated suite", suite, worlds())
    names = SUITES[suite].task_names
    if task is None:
        return tuple(range(len(names)))
    name = re.sub("[ _-]+", " ", task.strip().lower())
    if name not in names:
        raise errors.UnknownNameError(f"task of {suite}", task, names)
    return (names.index(name),)


def file_stem(task_name: str) -> str:
    """A task's name in file names: `knob on` is `knob_on`."""
    return task_name.replace(" ", "_")
