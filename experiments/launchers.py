"""Where the cells of a sweep run: the launchers, and what they have in common.

A launcher is a function `run` in a module of its own, which is imported only if it is
chosen: Ray is an optional dependency. One that cannot run every cell has a function
`check` beside it.
"""

import contextlib
import dataclasses
import importlib
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from ml_collections import ConfigDict

from amf_jax import errors
from experiments.worker import Cell

#: Modules of the launchers, by the name that `--launcher` takes.
LAUNCHERS = {
    "local": "experiments.pool",
    "ray": "experiments.ray_pool",
    "vmap": "experiments.vmap_pool",
}

#: Seconds that a launcher waits for news before it calls `Observer.tick` again.
POLL_SECONDS = 0.5

_ATTEMPTS = 2


class LauncherError(errors.AmfError, RuntimeError):
    """No worker can be started."""


class Observer(Protocol):
    """Is told what happens."""

    def started(self, cell: Cell) -> None:
        """A worker took `cell`, for the first or the second time."""

    def finished(self, cell: Cell) -> None:
        """`cell` ran to its end."""

    def failed(self, cell: Cell, message: str, final: bool) -> None:
        """`cell` failed, maybe before it started; unless `final` it is tried again."""

    def stopping(self) -> None:
        """Ctrl-C was pressed."""

    def tick(self) -> None:
        """Comes at least every half second."""


@dataclasses.dataclass
class Outcome:
    """What became of the cells; cells in neither list were not finished.

    Attributes:
      finished: cells that ran to their end.
      failed: cells that failed twice, with the last line of the error.
      interrupted: whether Ctrl-C ended the sweep early.
    """

    finished: list[Cell] = dataclasses.field(default_factory=list)
    failed: list[tuple[Cell, str]] = dataclasses.field(default_factory=list)
    interrupted: bool = False


class Launcher(Protocol):
    """Runs cells in other processes."""

    def __call__(
        self,
        run_cell: Callable[[ConfigDict], object],
        cells: Sequence[Cell],
        workers: int,
        observer: Observer,
        cache: Path,
    ) -> Outcome:
        """Runs `run_cell(cell.config)` for every cell, each at most twice.

        The first Ctrl-C lets the running cells finish their round, the second kills
        them.

        Args:
          run_cell: a function that a fresh process can import.
          cells: what to run, in this order.
          workers: how many cells run at a time, at least 1.
          observer: told what happens.
          cache: folder of the compilation cache that the workers share.

        Raises:
          LauncherError: no worker can be started.
        """


def get(name: str) -> Launcher:
    """The launcher called `name`.

    Raises:
      UnknownNameError: no such launcher; names the nearest one.
      MissingDependencyError: it needs a package that is not installed.
    """
    if name not in LAUNCHERS:
        raise errors.UnknownNameError("launcher", name, LAUNCHERS)
    return importlib.import_module(LAUNCHERS[name]).run


def check(name: str, cells: Sequence[Cell]) -> None:
    """Refuses cells that the launcher called `name` cannot run.

    Raises:
      InvalidArgumentError: naming them.
    """
    module = importlib.import_module(LAUNCHERS[name])
    if hasattr(module, "check"):
        module.check(cells)


class Attempt(NamedTuple):
    """A cell that is run for the `number`-th time, counted from 1."""

    cell: Cell
    number: int = 1


class CellQueue:
    """The cells that wait for a worker, and what became of the others.

    Args:
      cells: what to run, in this order.
      observer: told what becomes of them.

    Attributes:
      outcome: what became of the cells so far.
    """

    def __init__(self, cells: Sequence[Cell], observer: Observer):
        self.outcome = Outcome()
        self._waiting = deque(map(Attempt, cells))
        self._observer = observer

    def __len__(self) -> int:
        return len(self._waiting)

    def take(self) -> Attempt:
        """The next cell to run."""
        return self._waiting.popleft()

    def finished(self, attempt: Attempt) -> None:
        """The cell ran to its end."""
        self.outcome.finished.append(attempt.cell)
        self._observer.finished(attempt.cell)

    def failed(self, attempt: Attempt, message: str) -> None:
        """The cell failed: it waits for its second attempt if this was the first."""
        if self.outcome.interrupted:
            return
        final = attempt.number == _ATTEMPTS
        if final:
            self.outcome.failed.append((attempt.cell, message))
        else:
            self._waiting.append(Attempt(attempt.cell, attempt.number + 1))
        self._observer.failed(attempt.cell, message, final)

    def interrupt(self) -> None:
        """Drops what waits, after a Ctrl-C."""
        self.outcome.interrupted = True
        self._waiting.clear()
        self._observer.stopping()


@contextlib.contextmanager
def count_interrupts() -> Iterator[list[int]]:
    """Collects SIGINTs instead of raising `KeyboardInterrupt` at a random place."""
    seen: list[int] = []
    previous = signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, previous)
