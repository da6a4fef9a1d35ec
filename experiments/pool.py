"""Runs cells in parallel processes that survive crashes, kills and Ctrl-C.

A worker process imports JAX once, then runs cell after cell. Workers share no queue:
each has a pipe of its own, so one that is killed takes nothing with it but its cell,
which a fresh worker runs once more.
"""

import contextlib
import dataclasses
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import connection
from pathlib import Path
from typing import Protocol

from ml_collections import ConfigDict

from amf_jax import errors
from experiments.worker import Cell, available_cores, environment, split_cores, work

_POLL_SECONDS = 0.5
_ATTEMPTS = 2


class Observer(Protocol):
    """Is told what happens."""

    def started(self, cell: Cell) -> None:
        """A worker took `cell`, for the first or the second time."""

    def finished(self, cell: Cell) -> None:
        """`cell` ran to its end."""

    def failed(self, cell: Cell, message: str, final: bool) -> None:
        """`cell` failed; unless `final` it will be tried again."""

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
      interrupted: whether Ctrl-C ended the pool early.
    """

    finished: list[Cell] = dataclasses.field(default_factory=list)
    failed: list[tuple[Cell, str]] = dataclasses.field(default_factory=list)
    interrupted: bool = False


class WorkerStartError(errors.AmfError, RuntimeError):
    """A worker process died before it could take a cell."""


@dataclasses.dataclass
class _Worker:
    process: multiprocessing.process.BaseProcess
    pipe: connection.Connection
    cores: list[int]
    ready: bool = False
    cell: Cell | None = None
    attempt: int = 0


def run(
    run_cell: Callable[[ConfigDict], object],
    cells: Sequence[Cell],
    workers: int,
    observer: Observer,
    cache: Path,
) -> Outcome:
    """Runs `run_cell(cell.config)` for every cell, each at most twice.

    The first Ctrl-C lets every worker finish its round, the second kills them.

    Args:
      run_cell: a function that a fresh process can import.
      cells: what to run, in this order.
      workers: number of processes, at least 1.
      observer: told what happens.
      cache: folder of the compilation cache that the workers share.

    Raises:
      WorkerStartError: a worker died before it could take a cell.
    """
    outcome = Outcome()
    queue = deque((cell, 1) for cell in cells)
    idle_cores = split_cores(available_cores(), min(workers, len(cells)) or 1)
    active: list[_Worker] = []
    with _count_interrupts() as interrupts:
        try:
            while queue or any(worker.cell for worker in active):
                if interrupts and not outcome.interrupted:
                    outcome.interrupted = True
                    queue.clear()
                    observer.stopping()
                    _interrupt(active)
                if len(interrupts) > 1:
                    break
                while idle_cores and len(active) < len(queue) + _busy(active):
                    active.append(_start(run_cell, idle_cores.pop(0), cache))
                for worker in _readable(active):
                    if not _receive(worker, queue, outcome, observer):
                        active.remove(worker)
                        idle_cores.append(worker.cores)
                for worker in active:
                    if queue and worker.ready and not worker.cell:
                        worker.cell, worker.attempt = queue.popleft()
                        # One killed while idle shows up as a closed pipe next turn.
                        with contextlib.suppress(BrokenPipeError):
                            worker.pipe.send(worker.cell)
                        observer.started(worker.cell)
                observer.tick()
        finally:
            for worker in active:
                _end(worker)
    return outcome


def _busy(active: Sequence[_Worker]) -> int:
    return sum(worker.cell is not None for worker in active)


def _readable(active: Sequence[_Worker]) -> list[_Worker]:
    ready = connection.wait([worker.pipe for worker in active], _POLL_SECONDS)
    return [worker for worker in active if worker.pipe in ready]


def _receive(
    worker: _Worker,
    queue: deque[tuple[Cell, int]],
    outcome: Outcome,
    observer: Observer,
) -> bool:
    """Takes one message of a worker; False if that worker is gone."""
    try:
        kind, message = worker.pipe.recv()
    except (EOFError, ConnectionResetError):
        worker.process.join()
        kind, message = "died", _cause_of_death(worker.process.exitcode)
        if not worker.ready and not outcome.interrupted:
            raise WorkerStartError(
                f"a worker process {message} before it could take a cell"
            ) from None
    if kind == "ready":
        worker.ready = True
        return True
    cell, worker.cell = worker.cell, None
    if cell is not None and kind == "finished":
        outcome.finished.append(cell)
        observer.finished(cell)
    elif cell is not None and not outcome.interrupted:
        final = worker.attempt == _ATTEMPTS
        if final:
            outcome.failed.append((cell, message))
        else:
            queue.append((cell, worker.attempt + 1))
        observer.failed(cell, message, final)
    return kind in ("finished", "failed")


def _cause_of_death(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"was killed by {signal.Signals(-exitcode).name}"
    return f"ended with exit code {exitcode}"


@contextlib.contextmanager
def _count_interrupts() -> Iterator[list[int]]:
    """Collects SIGINTs instead of raising `KeyboardInterrupt` at a random place."""
    seen: list[int] = []
    previous = signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, previous)


def _interrupt(active: Sequence[_Worker]) -> None:
    for worker in active:
        if worker.cell and worker.process.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.process.pid, signal.SIGINT)


def _start(
    run_cell: Callable[[ConfigDict], object], cores: list[int], cache: Path
) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(run_cell, theirs, cores), daemon=True)
    # A fresh interpreter inherits the block: it must not see a Ctrl-C meant for the
    # parent before it has left the parent's process group.
    with _environment(environment(len(cores), cache)):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    theirs.close()
    return _Worker(process, ours, cores)


def _end(worker: _Worker) -> None:
    """Dismisses an idle worker, kills a busy one."""
    if worker.cell or not worker.ready:
        worker.process.kill()
    worker.pipe.close()
    worker.process.join()


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    previous = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in previous.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
