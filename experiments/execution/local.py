"""The launcher `local`: parallel processes that survive crashes, kills and Ctrl-C.

A worker process imports JAX once, then runs job after job. Workers share no queue:
each has a pipe of its own, so one that is killed takes nothing with it but its job,
which a fresh worker runs once more.
"""

import contextlib
import dataclasses
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import connection
from pathlib import Path

from ml_collections import ConfigDict

from experiments import threads
from experiments.execution.launchers import (
    POLL_SECONDS,
    Attempt,
    JobQueue,
    LauncherError,
    Observer,
    Outcome,
    count_interrupts,
)
from experiments.execution.worker import (
    RUNS_PER_PROCESS,
    Job,
    environment,
    split_cores,
    work,
)


@dataclasses.dataclass
class _Worker:
    process: multiprocessing.process.BaseProcess
    pipe: connection.Connection
    cores: list[int]
    ready: bool = False
    attempt: Attempt | None = None
    taken: int = 0


def check(jobs: Sequence[Job]) -> None:
    """Refuses jobs that want more threads than there are cores.

    Raises:
      InvalidArgumentError: naming both numbers.
    """
    for job in jobs[:1]:  # the others want as many
        threads.check(job.config.threads)


def run(
    execute: Callable[[ConfigDict], object],
    jobs: Sequence[Job],
    workers: int,
    observer: Observer,
    cache: Path,
) -> Outcome:
    """Runs the jobs in `workers` processes; a `Launcher`.

    Raises:
      LauncherError: a worker died before it could take a job.
    """
    queue = JobQueue(jobs, observer)
    if not queue:
        return queue.outcome
    count = jobs[0].config.threads  # of all of them
    idle_cores = split_cores(threads.available_cores(), min(workers, len(jobs)), count)
    settings = environment(count, cache)
    active: list[_Worker] = []
    with count_interrupts() as interrupts:
        try:
            while queue or _busy(active):
                if interrupts and not queue.outcome.interrupted:
                    queue.interrupt()
                    _interrupt(active)
                if len(interrupts) > 1:
                    break
                while idle_cores and len(active) < len(queue) + _busy(active):
                    active.append(_start(execute, idle_cores.pop(0), settings))
                for worker in _readable(active):
                    if not _receive(worker, queue):
                        active.remove(worker)
                        idle_cores.append(worker.cores)
                for worker in active:
                    if queue and worker.ready and not worker.attempt:
                        worker.attempt = queue.take()
                        worker.taken += 1
                        # One killed while idle shows up as a closed pipe next turn.
                        with contextlib.suppress(BrokenPipeError):
                            worker.pipe.send(worker.attempt.job)
                        observer.started(worker.attempt.job)
                observer.tick()
        finally:
            for worker in active:
                _end(worker)
    return queue.outcome


def _busy(active: Sequence[_Worker]) -> int:
    return sum(worker.attempt is not None for worker in active)


def _readable(active: Sequence[_Worker]) -> list[_Worker]:
    ready = connection.wait([worker.pipe for worker in active], POLL_SECONDS)
    return [worker for worker in active if worker.pipe in ready]


def _receive(worker: _Worker, queue: JobQueue) -> bool:
    """Takes one message of a worker; False if that worker is gone."""
    try:
        kind, message = worker.pipe.recv()
    except (EOFError, ConnectionResetError):
        worker.process.join()
        kind, message = "died", _cause_of_death(worker.process.exitcode)
        if not worker.ready and not queue.outcome.interrupted:
            raise LauncherError(
                f"a worker process {message} before it could take a job"
            ) from None
    if kind == "ready":
        worker.ready = True
        return True
    attempt, worker.attempt = worker.attempt, None
    if attempt and kind == "finished":
        queue.finished(attempt)
    elif attempt:
        queue.failed(attempt, message)
    if kind in ("finished", "failed") and worker.taken < RUNS_PER_PROCESS:
        return True
    _end(worker)
    return False


def _cause_of_death(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"was killed by {signal.Signals(-exitcode).name}"
    return f"ended with exit code {exitcode}"


def _interrupt(active: Sequence[_Worker]) -> None:
    for worker in active:
        if worker.attempt and worker.process.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.process.pid, signal.SIGINT)


def _start(
    execute: Callable[[ConfigDict], object],
    cores: list[int],
    settings: dict[str, str],
) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(execute, theirs, cores), daemon=True)
    # A fresh interpreter inherits the block: it must not see a Ctrl-C meant for the
    # parent before it has left the parent's process group.
    with _environment(settings):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    theirs.close()
    return _Worker(process, ours, cores)


def _end(worker: _Worker) -> None:
    """Dismisses an idle worker, kills a busy one."""
    if worker.attempt or not worker.ready:
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
