"""Where the jobs of a sweep run: the launchers, and what they have in common.

A launcher is a function `run` in a module of its own, which is imported only if it is
chosen: Ray is an optional dependency. One that cannot run every job has a function
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
from experiments.execution.worker import Job

#: Modules of the launchers, by the name that `--launcher` takes.
LAUNCHERS = {
    "local": "experiments.execution.local",
    "ray": "experiments.execution.ray_cluster",
    "vmap": "experiments.execution.vmap",
}

#: Seconds that a launcher waits for news before it calls `Observer.tick` again.
POLL_SECONDS = 0.5

_ATTEMPTS = 2


class LauncherError(errors.AmfError, RuntimeError):
    """No worker can be started."""


class Observer(Protocol):
    """Is told what happens."""

    def started(self, job: Job) -> None:
        """A worker took `job`, for the first or the second time."""

    def finished(self, job: Job) -> None:
        """`job` ran to its end."""

    def failed(self, job: Job, message: str, final: bool) -> None:
        """`job` failed, maybe before it started; unless `final` it is tried again."""

    def stopping(self) -> None:
        """Ctrl-C was pressed."""

    def tick(self) -> None:
        """Comes at least every half second."""


@dataclasses.dataclass
class Outcome:
    """What became of the jobs; jobs in neither list were not finished.

    Attributes:
      finished: jobs that ran to their end.
      failed: jobs that failed twice, with the last line of the error.
      interrupted: whether Ctrl-C ended the sweep early.
    """

    finished: list[Job] = dataclasses.field(default_factory=list)
    failed: list[tuple[Job, str]] = dataclasses.field(default_factory=list)
    interrupted: bool = False


class Launcher(Protocol):
    """Runs jobs in other processes."""

    def __call__(
        self,
        execute: Callable[[ConfigDict], object],
        jobs: Sequence[Job],
        workers: int,
        observer: Observer,
        cache: Path,
    ) -> Outcome:
        """Runs `execute(job.config)` for every job, each at most twice.

        The first Ctrl-C lets the running jobs finish their round, the second kills
        them.

        Args:
          execute: a function that a fresh process can import.
          jobs: what to run, in this order.
          workers: how many jobs run at a time, at least 1.
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
    errors.check_name("launcher", name, LAUNCHERS)
    return importlib.import_module(LAUNCHERS[name]).run


def check(name: str, jobs: Sequence[Job]) -> None:
    """Refuses jobs that the launcher called `name` cannot run.

    Raises:
      InvalidArgumentError: naming them.
    """
    module = importlib.import_module(LAUNCHERS[name])
    if hasattr(module, "check"):
        module.check(jobs)


class Attempt(NamedTuple):
    """A job that is run for the `number`-th time, counted from 1."""

    job: Job
    number: int = 1


class JobQueue:
    """The jobs that wait for a worker, and what became of the others.

    Args:
      jobs: what to run, in this order.
      observer: told what becomes of them.

    Attributes:
      outcome: what became of the jobs so far.
    """

    def __init__(self, jobs: Sequence[Job], observer: Observer):
        self.outcome = Outcome()
        self._waiting = deque(map(Attempt, jobs))
        self._observer = observer

    def __len__(self) -> int:
        return len(self._waiting)

    def take(self) -> Attempt:
        """The next job to run."""
        return self._waiting.popleft()

    def finished(self, attempt: Attempt) -> None:
        """The job ran to its end."""
        self.outcome.finished.append(attempt.job)
        self._observer.finished(attempt.job)

    def failed(self, attempt: Attempt, message: str) -> None:
        """The job failed: it waits for its second attempt if this was the first."""
        if self.outcome.interrupted:
            return
        final = attempt.number == _ATTEMPTS
        if final:
            self.outcome.failed.append((attempt.job, message))
        else:
            self._waiting.append(Attempt(attempt.job, attempt.number + 1))
        self._observer.failed(attempt.job, message, final)

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
