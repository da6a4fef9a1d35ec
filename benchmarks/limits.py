"""What this machine can do at most: arithmetic in matmuls, and traffic in a copy.

Matmuls are in float32 and at JAX's default precision, which is what the library gets:
less than float32 on some accelerators.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from benchmarks.timing import Program, compile_program, in_turns

_FLOAT_BYTES = 4
#: Of a series of small matmuls within one program, so that its start costs nothing.
_REPEATS = 100


class Limits(NamedTuple):
    """Measured limits.

    Attributes:
      matmul: the large matmul that shows the first.
      copy: the large copy that shows the second.
      flops_per_second: of a large float32 matmul.
      bytes_per_second: read and written, of an array that no cache holds.
    """

    matmul: "Measured"
    copy: "Measured"

    @property
    def flops_per_second(self) -> float:
        return self.matmul.amount / self.matmul.seconds

    @property
    def bytes_per_second(self) -> float:
        return self.copy.amount / self.copy.seconds

    def seconds(self, *, flops: float = 0.0, bytes_moved: float = 0.0) -> float:
        """Of so much arithmetic as one large matmul, then so much traffic as a copy."""
        return flops / self.flops_per_second + bytes_moved / self.bytes_per_second


class Measured(NamedTuple):
    """One of them: median and quartiles in seconds, and FLOPs or bytes of a call."""

    seconds: float
    spread: tuple[float, float]
    amount: float


def measure(seconds: float, *, quick: bool = False) -> Limits:
    """Measures both in turns, for about so many seconds.

    Args:
      seconds: to spend.
      quick: smaller arrays, which show less than the machine can do.
    """
    on_cpu = jax.default_backend() == "cpu"
    size = 1024 if quick else 2048 if on_cpu else 8192
    elements = (2**22 if quick else 2**26) if on_cpu else 2**28
    programs = [_matmul(size, size, size), _copy(elements)]
    for program in programs:
        program.call()
    times = in_turns([program.call for program in programs], seconds)
    amounts = (2.0 * size**3, 2.0 * elements * _FLOAT_BYTES)
    return Limits(
        *(
            Measured(taken.median, (taken.low, taken.high), amount)
            for taken, amount in zip(times, amounts, strict=True)
        )
    )


def matmuls(shapes: Sequence[tuple[int, int, int]], seconds: float) -> float:
    """Seconds of matmuls `[m, k] @ [k, n]` of these shapes, one after the other.

    What limits many small matmuls is more than their arithmetic: a large one of as many
    FLOPs is faster than they can be.
    """
    lefts, rights = zip(*(_operands(*shape) for shape in shapes), strict=True)

    def step(_, carry):
        lefts, last = carry
        waiting = []
        for left, right in zip(lefts, rights, strict=True):
            # Each needs the one before, so that none is computed once for all steps.
            left = left.at[0, 0].set(last)
            last = (left @ right)[0, 0]
            waiting.append(left)
        return tuple(waiting), last

    program = compile_program(
        lambda *carry: jax.lax.fori_loop(0, _REPEATS, step, carry)[1],
        lefts,
        jnp.float32(0),
    )
    program.call()
    (times,) = in_turns([program.call], seconds)
    return times.median / _REPEATS


def _operands(rows: int, inner: int, columns: int) -> tuple[Array, Array]:
    keys = jax.random.split(jax.random.key(0), 2)
    left = jax.random.normal(keys[0], (rows, inner))
    return left, jax.random.normal(keys[1], (inner, columns))


def _matmul(rows: int, inner: int, columns: int) -> Program:
    return compile_program(jnp.matmul, *_operands(rows, inner, columns))


def _copy(elements: int) -> Program:
    # Scaled on the way: a plain copy is one thread's memcpy on CPUs.
    return compile_program(lambda x: 2.0 * x, jnp.ones((elements,)))
