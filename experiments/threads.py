"""Threads of a run: as many as its config says, whatever else the machine does.

XLA and BLAS cut a sum into as many parts as they have threads, so that their number
decides the last bits of a run's results.
"""

import os

from amf_jax import errors
from experiments import extras


def available_cores() -> list[int]:
    """The cores this process may use; all of them where the system does not tell."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def check(count: int) -> None:
    """Refuses more threads than cores, which XLA and BLAS would silently cut down.

    Raises:
      InvalidArgumentError: naming both.
    """
    cores = len(available_cores())
    if count > cores:
        raise errors.InvalidArgumentError(
            f"threads must be at most {cores}, the cores that this process may use, got"
            f" {count}; with fewer it would be another run"
        )


def environment(count: int) -> dict[str, str]:
    """What tells XLA, BLAS and OpenMP how many threads to use, before they start."""
    xla_flags = os.environ.get("XLA_FLAGS", "")
    if count == 1:  # no detour by a pool of one thread
        xla_flags += " --xla_cpu_multi_thread_eigen=false"
    variables = ("NPROC", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return {
        **dict.fromkeys((*variables, "VECLIB_MAXIMUM_THREADS"), str(count)),
        "XLA_FLAGS": xla_flags.strip(),
    }


def limit(count: int) -> None:
    """Holds this process to so many threads, before JAX computes anything in it.

    Raises:
      MissingDependencyError: threadpoolctl is not installed.
    """
    # XLA starts with the first computation, while BLAS is there already.
    os.environ.update(environment(count))
    extras.load("threadpoolctl").threadpool_limits(count)
