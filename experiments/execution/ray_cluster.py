"""The launcher `ray`: tasks of a Ray cluster, with a CPU for each of their threads.

The cluster is the one of `RAY_ADDRESS`, else the one that `ray start` has started on
this machine, else a local one for this sweep alone, which other machines cannot reach:
whoever reaches a Ray cluster can run programs on it. A job writes its results file
itself, and they are read here to show progress: the nodes must see the same folders
under the same names.
"""

import contextlib
import functools
import os
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ml_collections import ConfigDict

from amf_jax import errors
from experiments.execution import worker
from experiments.execution.launchers import (
    POLL_SECONDS,
    Attempt,
    JobQueue,
    LauncherError,
    Observer,
    Outcome,
    count_interrupts,
)
from experiments.execution.worker import Job

try:
    import ray
    from ray._private import ray_constants
except ImportError as error:
    raise errors.MissingDependencyError(
        "the launcher 'ray' needs the package ray; install it:"
        " python -m pip install 'amf_jax[ray]'"
    ) from error


def run(
    execute: Callable[[ConfigDict], object],
    jobs: Sequence[Job],
    workers: int,
    observer: Observer,
    cache: Path,
) -> Outcome:
    """Runs at most `workers` jobs at a time on a Ray cluster; a `Launcher`.

    Raises:
      LauncherError: the cluster cannot be reached.
    """
    queue = JobQueue(jobs, observer)
    if not queue:
        return queue.outcome
    # ray.cancel would interrupt a job several times, and so cut its last round off.
    stop = cache.absolute() / f"stop-{uuid.uuid4().hex}"
    try:
        count = jobs[0].config.threads  # of all of them
        environment = worker.environment(count, cache)
        if path := os.environ.get("PYTHONPATH"):  # other nodes have their own
            environment["PYTHONPATH"] = path
        _connect(workers * count, environment)
        with count_interrupts() as interrupts:
            _run(execute, queue, workers, count, observer, interrupts, stop)
    except KeyboardInterrupt:  # before it was connected
        queue.interrupt()
    finally:
        ray.shutdown()  # ends the tasks that still run
        stop.unlink(missing_ok=True)
    return queue.outcome


def _connect(cores: int, environment: dict[str, str]) -> None:
    address = os.environ.get("RAY_ADDRESS", "")
    if address.startswith("ray://"):
        raise LauncherError(
            f"RAY_ADDRESS={address} is for Ray clients; start the sweep on a node of"
            " the cluster, with RAY_ADDRESS=<host>:<port> of its head or with none"
        )
    init = functools.partial(
        ray.init,
        runtime_env={"env_vars": environment},
        include_dashboard=False,
        log_to_driver=False,
    )
    with warnings.catch_warnings():
        # JAX warns of forks; what Ray forks here is another program at once.
        warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)
        try:
            try:
                with _loopback():
                    init(num_cpus=cores)
            except ValueError:  # a cluster that is there already has its own number
                init()
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise LauncherError(f"cannot connect to a Ray cluster: {error}") from error


@contextlib.contextmanager
def _loopback() -> Iterator[None]:
    """Lets a cluster that is started now listen to this machine alone.

    As Ray does where it supports no clusters of several machines. An address that says
    so is replaced by that of the network.
    """
    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def _run(
    execute: Callable[[ConfigDict], object],
    queue: JobQueue,
    workers: int,
    count: int,
    observer: Observer,
    interrupts: Sequence[int],
    stop: Path,
) -> None:
    task = ray.remote(
        num_cpus=count,
        max_calls=worker.RUNS_PER_PROCESS,
        max_retries=0,  # the queue counts the attempts
        num_returns="streaming",
    )(worker.work_on)
    running: dict[ray.ObjectRefGenerator, Attempt] = {}
    while queue or running:
        while queue and len(running) < workers:
            attempt = queue.take()
            stream = task.remote(execute, attempt.job, os.getcwd(), stop)
            running[stream] = attempt
        for news in ray.wait(list(running), timeout=POLL_SECONDS)[0]:
            if _settled(news, running[news], queue, observer):
                del running[news]
        observer.tick()
        if interrupts and not queue.outcome.interrupted:
            queue.interrupt()
            stop.parent.mkdir(parents=True, exist_ok=True)
            stop.touch()
        if len(interrupts) > 1:
            return


def _settled(
    news: ray.ObjectRefGenerator,
    attempt: Attempt,
    queue: JobQueue,
    observer: Observer,
) -> bool:
    """Takes one message of a task; whether it was the last one."""
    try:
        kind, message = ray.get(next(news))
    except ray.exceptions.RayError as error:
        kind, message = "died", _in_one_line(error)
    if kind == "started":
        observer.started(attempt.job)
        return False
    if kind == "finished":
        queue.finished(attempt)
    elif kind != "interrupted":
        queue.failed(attempt, message)
    return True


def _in_one_line(error: ray.exceptions.RayError) -> str:
    cause = getattr(error, "cause", None) or error
    return f"{type(cause).__name__}: {str(cause).strip().partition(chr(10))[0]}"
