"""How much memory a selection takes, and whether there is as much.

The peak is that of arguments, results and the arrays in between, as XLA plans them for
the program of a selection. In numbers, of 4 bytes each in single precision, with

    D numbers in the demonstrations' buffer, Q in both sets of parameters together,
    E = C N H points of the occupancy, B = K N candidate blocks of H steps, M rows of
    history, w numbers a point in l arrays, P features, and T points at work at a time,
    whose embedding writes out e numbers a point, by matrix products and draws,

every selection takes

    2 D + Q + 8 C N                    what it is given, a copy without padding, tables;

by kernels, with the state given and returned,

    2 M (M + w) + M^2                  the state, and a copy of its factor,
    E w                                points,

and the larger of `T e`, while they are embedded, and later

    E M                                what the history says of them, which
                                       "prior_entropy" does not ask,
    E w                                for "entropy", a copy of them in other tiles,
                                       if they do not fill whole tiles,
    E H or B H w                       for "variance", inverse factors of the blocks
                                       if they are the pairs of the occupancy; for any
                                       criterion the blocks' points if they are not,
    3 M T + (2 + l) T^2                the points at work, or a copy of points that do
                                       not fill whole tiles, if that is larger;

by features,

    2 P^2                              the state, given and returned,
    max(8 P^2, 4 P^2 + T max(3 P, e))  whitening, or the points at work.

Pairs that are skipped take memory all the same: the buffers have room for all of them.
Several devices hold as much each, but for the blocks, which are split: their points are
then a share of B H w, whatever the criterion, or all of them once while candidates that
are no evaluation tasks are exchanged. A selection under `vmap` takes as many times as
much. What a policy's likelihood takes for the steps of a tile is left out: it does not
grow with the demonstrations.

`streaming.select` holds, beside the parameters, the larger of

    8 C N                              tables of a number for each pair, and
    20 P^2                             whitening in double precision, or
    6 P^2 + T max(3 P, e)              the pairs at work, with 5 C N of the tables.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

from amf_jax import errors

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


class Buffers(NamedTuple):
    """What a selection has room for.

    Attributes:
      recorded: numbers D in the buffer of the demonstrations at hand.
      parameters: numbers Q in both sets of parameters.
      pairs: of an evaluation task and a demonstration, C N.
      horizon: steps H of a demonstration.
      blocks: candidates' blocks B beside these pairs; 0 if they are the candidates'.
      gathered: blocks on a device while several exchange theirs.
      history: steps M that the posterior has room for.
      twice: points that are held a second time, in tiles of another size.
      passing: points whose originals go once they are copied to whole tiles.
      width: numbers w of a point.
      parts: arrays l that a point is made of.
      features: width P of the explicit embeddings, or None.
      tile: steps T at work at a time on the path by kernels.
      chunk: steps T at work at a time on the path by features.
      made: numbers e written out while a step is embedded.
      criterion: as in `selectors.amf`; not all look at the occupancy.
      itemsize: bytes of a number.
    """

    recorded: int
    parameters: int
    pairs: int
    horizon: int
    blocks: int
    gathered: int
    history: int
    twice: int
    passing: int
    width: int
    parts: int
    features: int | None
    tile: int
    chunk: int
    made: float
    criterion: str
    itemsize: int


def peak(path: str, buffers: Buffers) -> int:
    """Bytes that one selection takes at its peak, by one of `cost.PATHS`."""
    numbers = 2 * buffers.recorded + buffers.parameters + 8 * buffers.pairs
    if path == "gram":
        horizon, width, held = buffers.horizon, buffers.width, buffers.history
        points = buffers.pairs * horizon
        at_work = (3 * held + (2 + buffers.parts) * buffers.tile) * buffers.tile
        scoring = buffers.twice * width + max(buffers.passing * width, at_work)
        if buffers.criterion != "prior_entropy":
            scoring += points * held
        if buffers.blocks:
            scoring += buffers.blocks * horizon * width
        elif buffers.criterion == "variance":
            scoring += points * horizon
        gathered = buffers.gathered * horizon * width
        embedding = round(buffers.tile * buffers.made)
        numbers += 2 * held * (held + width) + held**2
        numbers += points * width + max(scoring, gathered, embedding)
    else:
        assert buffers.features is not None  # else there is no such path
        square = buffers.features**2
        at_work = _at_work(buffers.features, buffers.chunk, buffers.made)
        numbers += 2 * square + max(8 * square, 4 * square + at_work)
    return numbers * buffers.itemsize


def streamed_peak(
    features: int, pairs: int, parameters: int, chunk: int, made: float, itemsize: int
) -> int:
    """Bytes that `streaming.select` takes at its peak, beside what the pool takes.

    The arguments are those of `Buffers`.
    """
    square, at_work = features**2, _at_work(features, chunk, made)
    later = 5 * pairs + max(20 * square, 6 * square + at_work)
    return (parameters + max(8 * pairs, later)) * itemsize


def _at_work(features: int, chunk: int, made: float) -> int:
    """Numbers of the steps at work on the path by features."""
    return round(chunk * max(3 * features, made))


def numbers(tree: Any) -> int:
    """How many numbers the arrays of a tree hold."""
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def available(mesh: Mesh | None = None) -> int | None:
    """Bytes left on each device of this process, the fewest; None if it is not told.

    A CPU has what its host has left: on Linux `MemAvailable`, which counts caches that
    would make way, elsewhere all physical memory. Devices of one host share it.
    """
    devices = jax.local_devices()[:1] if mesh is None else mesh.local_devices
    stats = [device.memory_stats() or {} for device in devices]
    if all("bytes_limit" in held for held in stats):
        return min(held["bytes_limit"] - held.get("bytes_in_use", 0) for held in stats)
    left = _left_on_host()
    return None if left is None else left // len(devices)


def _left_on_host() -> int | None:
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


def check(
    what: str,
    needed: int,
    limit: int | None,
    fitting: Callable[[int], Iterable[tuple[str, int]]],
    mesh: Mesh | None = None,
) -> None:
    """Raises if a request would not fit, before anything is allocated.

    Args:
      what: is asked for, in words.
      needed: bytes on each device.
      limit: bytes that it may take; None is what is available.
      fitting: `(limit) -> (option, bytes) of what would fit instead`.
      mesh: devices that work on it; None is one.

    Raises:
      MemoryBudgetError: naming these options.
    """
    left = available(mesh) if limit is None else limit
    if left is None or needed <= left:
        return
    found = [f"{option} ({_shown(size)})" for option, size in fitting(left)]
    given = "left on a device" if limit is None else "that memory_limit allows"
    advice = (
        f"these would fit: {'; '.join(found)}"
        if found
        else "no option would make it fit: take fewer demonstrations or tasks"
    )
    raise errors.MemoryBudgetError(
        f"{what} would take {_shown(needed)} at its peak, more than the {_shown(left)}"
        f" {given}; {advice}"
    )


def halves(number: int) -> Iterator[int]:
    """Powers of two below a number, from the largest one down.

    >>> list(halves(5)), list(halves(4)), list(halves(1))
    ([4, 2, 1], [2, 1], [])
    """
    power = (1 << max(number - 1, 0).bit_length()) >> 1
    while power >= 1:
        yield power
        power >>= 1


def _shown(size: int | float) -> str:
    """Three digits and a unit.

    >>> _shown(512), _shown(5 * 2**30)
    ('512 bytes', '5 GiB')
    """
    unit = 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.3g} {_UNITS[unit]}"
