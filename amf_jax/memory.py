"""How many bytes are left, and whether a buffer would fit."""

import os
from collections.abc import Callable

import jax

from amf_jax import errors

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


def available() -> int | None:
    """Bytes left on the first device of this process; None if it is not told.

    A CPU has what its host has left: on Linux `MemAvailable`, which counts caches that
    would make way, elsewhere all physical memory.
    """
    held = jax.local_devices()[0].memory_stats() or {}
    if "bytes_limit" in held:
        return held["bytes_limit"] - held.get("bytes_in_use", 0)
    try:
        with open("/proc/meminfo", encoding="utf-8") as lines:
            entries = dict(line.split(":", 1) for line in lines)
        return 1024 * int(entries["MemAvailable"].split()[0])
    except (OSError, KeyError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def check(what: str, needed: int, instead: Callable[[int], str]) -> None:
    """Raises if a request would not fit, before anything is allocated.

    Args:
      what: is asked for, in words.
      needed: bytes.
      instead: `(bytes left) -> advice`, in words.

    Raises:
      MemoryBudgetError: with the advice.
    """
    left = available()
    if left is not None and needed > left:
        raise errors.MemoryBudgetError(
            f"{what} would take {shown(needed)}, more than the {shown(left)} left;"
            f" {instead(left)}"
        )


def shown(size: int | float) -> str:
    """Three digits and a unit.

    >>> shown(512), shown(5 * 2**30)
    ('512 bytes', '5 GiB')
    """
    unit = 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.3g} {_UNITS[unit]}"
