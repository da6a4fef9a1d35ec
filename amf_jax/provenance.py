"""What computed the rounds of a run: versions, number formats, threads, backend."""

import importlib.metadata
import os
import platform
import warnings
from typing import Any

import jax

from amf_jax import errors
from amf_jax.session import fingerprint

#: Distributions whose versions decide what a run computes; simulators where installed.
PACKAGES = (
    "amf_jax",
    "jax",
    "jaxlib",
    "numpy",
    "scipy",
    "flax",
    "optax",
    "gpjax",
    "orbax-checkpoint",
    "mujoco",
    "metaworld",
    "gymnasium-robotics",
)

Session = dict[str, Any]


def session(first_round: int) -> Session:
    """Describes this process, which makes a run's rounds from `first_round` on.

    `threads` are those that XLA computes with on a CPU. It compiles for them, and sums
    are rounded in another order with another number.
    """
    return {
        "first_round": first_round,
        "versions": versions(),
        "x64": fingerprint.x64(),
        "prng": fingerprint.prng(),
        "threads": threads(),
        "backend": jax.default_backend(),
    }


def begin(sessions: list[Session], first_round: int) -> None:
    """Adds this process to the sessions of a run.

    Warns:
      ResumeWarning: naming what may round otherwise than in the last one.
    """
    now = session(first_round)
    for last in sessions[-1:]:
        if differing := fingerprint.differences(last, now, {"first_round"}):
            warnings.warn(
                "the run goes on with what may round otherwise than before (before,"
                f" now): {'; '.join(differing)}. It need not be to the bit what one"
                " session would have made",
                errors.ResumeWarning,
                stacklevel=4,
            )
    sessions.append(now)


def versions() -> dict[str, str]:
    """Versions of Python and of the installed packages among `PACKAGES`."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def threads() -> int:
    """How many threads XLA computes with on a CPU."""
    for name in ("PJRT_NPROC", "NPROC"):  # which it heeds as well
        if os.environ.get(name, "").isdigit():
            return int(os.environ[name])
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
