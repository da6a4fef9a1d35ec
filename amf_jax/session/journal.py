"""The journal of a run: what was asked for and what came, before it is used.

Every event is a file of its own that is never written again. Once a round is in a
checkpoint, its events are forgotten.
"""

import hashlib
import itertools
import json
import math
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from amf_jax import errors, files
from amf_jax.demonstrations import Demonstrations

#: A task as people are asked for it: an index, or the vector of none of these tasks.
Task = int | np.ndarray

_NAME = re.compile(r"(\d{6})-(\d{4})\.event")


class Asked(NamedTuple):
    """Tasks that were chosen at once, in order of choosing."""

    tasks: tuple[Task, ...]


class Delivered(NamedTuple):
    """What came of the attempts of one delivery.

    Attributes:
      demos: the attempts, in rows like those of the run's buffer.
      failed: which of them are not to be trained on.
      answers: places of the tasks that nobody is at any more.
      is_last: whether the round waits for no other delivery.
    """

    demos: Demonstrations
    failed: tuple[bool, ...]
    answers: tuple[int, ...]
    is_last: bool


Event = Asked | Delivered


class Journal:
    """Keeps the events of a run in a folder.

    Args:
      folder: created by the first event.
      run: what tells the run from others, whatever its budget.
      blank: its empty buffer.
    """

    def __init__(self, folder: Path, run: Mapping[str, Any], blank: Demonstrations):
        self._folder, self._blank = folder, blank
        self._run = _sum(json.dumps(run, sort_keys=True).encode()).decode()

    def write(self, index: int, number: int, event: Event) -> None:
        """Writes event `number` of a round, durably.

        Raises:
          CheckpointError: it cannot be written.
        """
        arrays: list[Any] = []
        head: dict[str, Any] = {"run": self._run}
        if isinstance(event, Asked):
            head["asked"] = plain_tasks(event.tasks)
        else:
            arrays = jax.tree.leaves(event.demos)
            head["delivered"] = event._asdict() | {"demos": None}
        body = b"".join([json.dumps(head).encode(), b"\n", *map(_bytes, arrays)])
        path = self._folder / f"{index:06d}-{number:04d}.event"
        try:
            self._folder.mkdir(exist_ok=True)
            files.replace(path, _sum(body) + b"\n" + body)
        except OSError as error:
            raise errors.CheckpointError(
                f"cannot write {path} ({error.strerror or error}): make room, then call"
                " ask() or run(), which go on with what was delivered"
            ) from error

    def read(self, after: int) -> dict[int, list[Event]]:
        """The events of all rounds behind `after`, in their order.

        Raises:
          CheckpointError: they are another run's.

        Warns:
          ResumeWarning: one is damaged or missing; it is set aside with all behind it.
        """
        found: dict[int, list[Event]] = {}
        paths = [(place, path) for place, path in self._paths() if place[0] > after]
        for position, ((index, number), path) in enumerate(paths):
            events = found.setdefault(index, [])
            try:
                if (index, number) != (after + len(found), len(events)):
                    raise ValueError("what was noted before it is missing")
                with files.open_regular(path) as file:
                    events.append(self._event(file.read()))
            except (OSError, ValueError, KeyError, TypeError) as error:
                _set_aside(path, [other for _, other in paths[position:]], error)
                break
        return found

    def forget(self, until: int) -> None:
        """Removes the events of all rounds up to `until`, which checkpoints hold."""
        for (index, _), path in self._paths():
            if index <= until:
                path.unlink(missing_ok=True)
        for unfinished in self._folder.glob(".*.tmp"):  # of processes that were killed
            unfinished.unlink(missing_ok=True)

    def _paths(self) -> list[tuple[tuple[int, int], Path]]:
        matches = [
            (_NAME.fullmatch(path.name), path) for path in self._folder.glob("*")
        ]
        return sorted(
            ((int(match[1]), int(match[2])), path) for match, path in matches if match
        )

    def _event(self, content: bytes) -> Event:
        sum_, body = content.split(b"\n", 1)
        if _sum(body) != sum_:
            raise ValueError("it is not what was written")
        line, rest = body.split(b"\n", 1)
        head = files.parse_json(line)
        if head["run"] != self._run:
            raise errors.CheckpointError(
                f"{self._folder} is the journal of another run; go on as that one was"
                " begun, or name another folder"
            )
        if "asked" in head:
            return Asked(array_tasks(head["asked"], self._blank))
        told = head["delivered"]
        rows = self._rows(len(told["failed"]), rest)
        failed, answers = tuple(told["failed"]), tuple(told["answers"])
        return Delivered(rows, failed, answers, told["is_last"])

    def _rows(self, count: int, content: bytes) -> Demonstrations:
        """Rows of the form of the buffer from the bytes of their arrays."""
        leaves, start = [], 0
        treedef = jax.tree.structure(self._blank)
        for leaf in jax.tree.leaves(self._blank):
            shape = count, *leaf.shape[1:]
            size = math.prod(shape) * leaf.dtype.itemsize
            given = np.frombuffer(content[start : start + size], leaf.dtype)
            leaves.append(jnp.asarray(given.reshape(shape)))
            start += size
        return jax.tree.unflatten(treedef, leaves)


def plain_tasks(tasks: Any) -> list[Any]:
    """Tasks as JSON holds them; None is nobody's."""
    return [task.tolist() if isinstance(task, np.ndarray) else task for task in tasks]


def array_tasks(tasks: Any, blank: Demonstrations) -> tuple[Any, ...]:
    """Tasks as they were before `plain_tasks`."""
    dtype = blank.tasks.dtype
    return tuple(np.asarray(x, dtype) if isinstance(x, list) else x for x in tasks)


def _sum(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def _bytes(array: Any) -> bytes:
    return np.ascontiguousarray(array).tobytes()


def _set_aside(first: Path, paths: list[Path], error: Exception) -> None:
    for path in paths:
        ends = itertools.chain([""], (f"-{number}" for number in itertools.count(2)))
        names = (path.with_suffix(f".damaged{end}") for end in ends)
        path.rename(next(name for name in names if not name.exists()))
    warnings.warn(
        f"{first} is damaged ({error}): what it says, and all that was noted behind it,"
        " is asked for again; it is kept beside it in *.damaged*",
        errors.ResumeWarning,
        stacklevel=6,
    )
