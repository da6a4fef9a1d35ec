"""Times of warm calls, in turns, and of compiling, apart."""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

Call = Callable[[], Any]

#: Turns that the calls of a comparison take, so that quartiles mean something.
_LEAST_TURNS = 3


class Times(NamedTuple):
    """Seconds of several calls.

    Attributes:
      median: of all calls.
      low: first quartile.
      high: third quartile.
    """

    median: float
    low: float
    high: float

    def scaled(self, factor: float) -> "Times":
        """The times of `factor` times as much work."""
        return Times(*(factor * seconds for seconds in self))


class Program(NamedTuple):
    """A compiled function with the arguments it is timed on.

    Attributes:
      compiled: takes other arguments of the same shapes.
      call: runs it on these and waits for the result.
      compile_seconds: tracing and compiling.
      bytes_peak: arguments, outputs and temporary buffers; None where the backend does
        not tell.
      flops: as XLA counts them. A loop's body counts once, however often it runs.
    """

    compiled: Callable
    call: Call
    compile_seconds: float
    bytes_peak: int | None
    flops: float | None


def summarise(seconds: Sequence[float]) -> Times:
    """Median and quartiles.

    >>> summarise([4.0, 1.0, 2.0, 3.0, 5.0])
    Times(median=3.0, low=2.0, high=4.0)
    """
    low, median, high = np.percentile(seconds, [25, 50, 75])
    return Times(float(median), float(low), float(high))


def compile_program(function: Callable, *arguments) -> Program:
    """Compiles `function` for these arguments, without any cache on disk."""
    start = time.perf_counter()
    compiled = jax.jit(function).lower(*arguments).compile()
    seconds = time.perf_counter() - start
    cost = compiled.cost_analysis()
    return Program(
        compiled,
        lambda: jax.block_until_ready(compiled(*arguments)),
        seconds,
        bytes_held(compiled),
        cost.get("flops") if cost else None,
    )


def bytes_held(compiled: jax.stages.Compiled) -> int | None:
    """Arguments, outputs and temporary buffers; None if the backend does not tell."""
    memory = compiled.memory_analysis()
    if memory is None:
        return None
    return (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        + memory.temp_size_in_bytes
        - memory.alias_size_in_bytes
    )


def in_turns(
    calls: Sequence[Call], seconds: float, least_turns: int = _LEAST_TURNS
) -> list[Times]:
    """Times calls that are warm already, in turns, so that all see the same machine.

    A fast call is repeated within its turn: the first of them finds the caches and
    thread pools as the others left them, the rest as in a loop of its own.

    Args:
      calls: that wait for their results.
      seconds: to spend in all; more where that many turns take longer.
      least_turns: how many.
    """
    share = seconds / (least_turns * len(calls))
    each: list[list[float]] = [[] for _ in calls]
    turns, start = 0, time.perf_counter()
    while turns < least_turns or time.perf_counter() - start < seconds:
        for call, taken in zip(calls, each, strict=True):
            taken.extend(_one_turn(call, share))
        turns += 1
    return [summarise(taken) for taken in each]


def _one_turn(call: Call, share: float) -> list[float]:
    taken: list[float] = []
    while sum(taken) < share:
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return taken
