"""Worker processes: each runs job after job, on its own share of the cores."""

import _thread
import contextlib
import itertools
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import connection
from pathlib import Path
from typing import NamedTuple

from ml_collections import ConfigDict

from experiments import command, plugins, threads

#: A process grows by about 10 MB with every job that it runs, since what was compiled
#: for one is kept; after so many jobs another takes its place.
RUNS_PER_PROCESS = 32

#: How often a job looks whether it is to stop.
_WATCH_SECONDS = 0.2


class Job(NamedTuple):
    """A run that is to be executed.

    Attributes:
      config: the resolved one.
      results: its file.
      log: of a failure.
      plugins: modules to import first.
    """

    config: ConfigDict
    results: Path
    log: Path
    plugins: tuple[str, ...] = ()


def split_cores(
    cores: Sequence[int], workers: int, threads: int = 1
) -> list[list[int]]:
    """Each worker's share of the cores, at least `threads`; shared if too few.

    >>> split_cores([0, 1, 2, 3], 2)
    [[0, 1], [2, 3]]
    >>> split_cores([0, 1], 3)
    [[0], [1], [0]]
    >>> split_cores([0, 1, 2, 3], 3, threads=2)
    [[0, 1], [2, 3], [0, 1]]
    """
    if workers * threads > len(cores):
        wrapped = itertools.cycle(cores)
        return [list(itertools.islice(wrapped, threads)) for _ in range(workers)]
    bounds = [index * len(cores) // workers for index in range(workers + 1)]
    return [list(cores[start:end]) for start, end in itertools.pairwise(bounds)]


def environment(count: int, cache: Path) -> dict[str, str]:
    """Settings that must stand before JAX and BLAS are loaded.

    Args:
      count: threads of each job. What is compiled depends on it, so each has a cache
        of its own.
      cache: folder of what is compiled.
    """
    defaults = {
        "JAX_COMPILATION_CACHE_DIR": str(cache / f"threads{count}"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.5",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }
    return {
        **threads.environment(count),
        **{name: os.environ.get(name, value) for name, value in defaults.items()},
    }


def work(
    execute: Callable[[ConfigDict], object],
    pipe: connection.Connection,
    cores: list[int],
) -> None:
    """The life of a worker process: one job after the other until the pipe closes."""
    _detach(cores)
    pipe.send(("ready", ""))
    while True:
        try:
            job = pipe.recv()
        except (EOFError, KeyboardInterrupt):
            return
        try:
            pipe.send(attempt(execute, job))
        except KeyboardInterrupt:
            return


def work_on(
    execute: Callable[[ConfigDict], object], job: Job, folder: str, stop: Path
) -> Iterator[tuple[str, str]]:
    """One job in a process of somebody else's.

    Args:
      execute: runs the job's config.
      job: what to run.
      folder: what relative paths are relative to.
      stop: a file that is Ctrl-C for the job as soon as it exists.

    Yields:
      `started` and "", then what `attempt` returns, or `interrupted` and "".

    Raises:
      InvalidArgumentError: this machine has fewer cores than the job has threads.
    """
    os.chdir(folder)
    if folder not in sys.path:
        sys.path.insert(0, folder)  # as `python -m` does there
    threads.check(job.config.threads)
    yield "started", ""
    try:
        with _interrupted_by(stop):
            end = attempt(execute, job)
    except KeyboardInterrupt:
        end = "interrupted", ""
    yield end


@contextlib.contextmanager
def _interrupted_by(stop: Path) -> Iterator[None]:
    """Raises `KeyboardInterrupt` once, when the file `stop` exists."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_WATCH_SECONDS):
            if stop.exists():
                _thread.interrupt_main()
                return

    watcher = threading.Thread(target=watch, daemon=True)
    # What a script starts in its background ignores SIGINT and would miss the file.
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
        signal.signal(signal.SIGINT, previous)


def _detach(cores: list[int]) -> None:
    # In a session of its own a Ctrl-C in the terminal reaches only the parent, which
    # passes exactly one on.
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # drops one that waited meanwhile
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
    # A worker must not outlive its parent: a restarted sweep would run its job twice.
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def attempt(execute: Callable[[ConfigDict], object], job: Job) -> tuple[str, str]:
    """Runs a job with all output in its log, which stays only if the job fails.

    Returns:
      `finished`, or `failed` and the last line of the error.
    """
    kind, message = "interrupted", ""
    try:
        with _output_to(job.log):
            command.replace_unprintable()
            try:
                plugins.load(job.plugins)
                execute(job.config)
                kind = "finished"
            except Exception as error:
                traceback.print_exc()
                lines = traceback.format_exception_only(error)
                kind, message = "failed", " ".join(lines[-1].split())
        return kind, message
    finally:
        if kind != "failed":
            job.log.unlink(missing_ok=True)


@contextlib.contextmanager
def _output_to(path: Path) -> Iterator[None]:
    """Appends all output, that of compiled code too, to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    streams = (sys.stdout, sys.stderr)
    saved = [os.dup(number) for number in (1, 2)]
    with path.open("ab") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    try:
        yield
    finally:
        for stream, number, copy in zip(streams, (1, 2), saved, strict=True):
            stream.flush()
            os.dup2(copy, number)
            os.close(copy)
