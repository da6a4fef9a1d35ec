"""How one selection grows: with demonstrations, with tasks, with the embedding."""

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from amf_jax.selectors import Execution
from benchmarks import problems
from benchmarks.jobs.base import Bench, compiled, timed
from benchmarks.jobs.selection import ALL_PAIRS, first_round
from benchmarks.problems import Sizes
from benchmarks.rows import Row
from benchmarks.timing import in_turns, summarise

#: Sizes from the largest down that an exponent is fitted to: small ones are overhead.
_FITTED = 3


class Growth(NamedTuple):
    """One curve.

    Attributes:
      job: its key.
      symbol: of the quantity that grows.
      values: that it takes.
      sizes: `(base, value) -> sizes` of the problem.
      options: as of `first_round`.
      note: what a reader must know.
    """

    job: str
    symbol: str
    values: Sequence[int]
    sizes: Callable[[Sizes, int], Sizes]
    options: tuple[tuple[str, Any], ...]
    note: str


def demonstrations(bench: Bench) -> Iterator[Row]:
    """With n, where only a task's own demonstrations carry weight, in either space."""
    return _grow_with_n(
        bench,
        "growth_demonstrations",
        (),
        "a demonstration has weight for its own task alone; no history; the space that"
        " is predicted to cost less",
    )


def features(bench: Bench) -> Iterator[Row]:
    """The same in weight space, linear in n, at every n."""
    return _grow_with_n(
        bench,
        "growth_features",
        (("execution", Execution("weight")),),
        "as growth_demonstrations, in weight space",
    )


def tasks(bench: Bench) -> Iterator[Row]:
    """With C, every pair of a task and a demonstration scored."""
    return _grow(
        bench,
        Growth(
            "growth_tasks",
            "C",
            (3, 6) if bench.quick else (2, 4, 8, 16),
            lambda base, count: dataclasses.replace(base, tasks=count),
            ALL_PAIRS,
            "all pairs of a task and a demonstration; no history",
        ),
    )


def embedding(bench: Bench) -> Iterator[Row]:
    """With p, by the width of the hidden layers, every pair scored."""
    return _grow(
        bench,
        Growth(
            "growth_embedding",
            "p",
            (9 * 33, 9 * 65)
            if bench.quick
            else tuple(9 * (width + 1) for width in (64, 128, 256, 512, 1024)),
            lambda base, p: dataclasses.replace(base, hidden=p // base.action - 1),
            ALL_PAIRS,
            "all pairs of a task and a demonstration; no history",
        ),
    )


def exponent(values: Sequence[float], seconds: Sequence[float]) -> float:
    """The slope of log seconds over log value, by least squares.

    >>> round(exponent([10, 20, 40], [1.0, 4.0, 16.0]), 3)
    2.0
    """
    return float(np.polyfit(np.log(values), np.log(seconds), 1)[0])


def _grow_with_n(
    bench: Bench, job: str, options: tuple[tuple[str, Any], ...], note: str
) -> Iterator[Row]:
    growth = Growth(
        job,
        "n",
        (6,) if bench.quick else (20, 50, 100, 200, 500, 1000, 2000),
        lambda base, n: dataclasses.replace(base, demonstrations=n),
        (("weights", "deterministic"), *options),
        note,
    )
    return _grow(bench, growth)


def _grow(bench: Bench, growth: Growth) -> Iterator[Row]:
    longest = 0.5 if bench.quick else 60.0
    base = problems.sizes(bench.quick)
    measured: list[tuple[int, Row]] = []
    stopped = ""
    for value in growth.values:
        expected = _expected(value, measured)
        if expected > longest:
            stopped = (
                f"; not beyond {growth.symbol} = {measured[-1][0]}, since"
                f" {value} would take about {expected:.0f} s a call"
            )
            break
        row = Row(growth.job, f"{growth.symbol} = {value}", note=growth.note)
        program = first_round(growth.sizes(base, value), growth.options)
        begun = time.perf_counter()
        program.call()
        once = time.perf_counter() - begun
        if once > bench.seconds:  # a slow call is made once
            times = summarise([once])
        else:
            (times,) = in_turns([program.call], bench.seconds / 4)
        row = timed(compiled(row, program), times)
        measured.append((value, row))
        yield row
    yield _exponent(growth, measured, stopped)


def _exponent(growth: Growth, measured: Sequence[tuple[int, Row]], stopped: str) -> Row:
    """What the curve amounts to; without a value where it is a single point."""
    last = measured[-_FITTED:]
    values = [value for value, _ in last]
    memory = [row.bytes_peak for _, row in measured]
    note = f"time from {growth.symbol} = {values[0]} to {values[-1]}"
    if memory[0] and memory[-1]:
        factor = memory[-1] / memory[0]
        note += f"; buffers grow {factor:.1f} times from {measured[0][0]} on"
    return Row(
        growth.job,
        "exponent",
        value=(
            exponent(values, [row.seconds or 0.0 for _, row in last])
            if len(last) > 1
            else None
        ),
        unit=f"e in time ∝ {growth.symbol}^e",
        note=note + stopped,
    )


def _expected(value: int, measured: Sequence[tuple[int, Row]]) -> float:
    """Seconds of a call, if growth goes on as between the last two sizes."""
    if not measured:
        return 0.0
    last, row = measured[-1]
    assert row.seconds is not None
    power = 2.0
    if len(measured) > 1:
        before, smaller = measured[-2]
        assert smaller.seconds is not None
        power = max(1.0, exponent([before, last], [smaller.seconds, row.seconds]))
    return row.seconds * (value / last) ** power
