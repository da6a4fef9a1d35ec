"""The limits of the machine as rows, for who reads the table."""

from collections.abc import Iterator

from benchmarks.jobs.base import Bench
from benchmarks.rows import Row


def run(bench: Bench) -> Iterator[Row]:
    """What was measured before any job."""
    matmul, copy = bench.limits
    yield Row(
        "limits",
        "matmul",
        seconds=matmul.seconds,
        spread=matmul.spread,
        flops=matmul.amount,
    )
    yield Row(
        "limits",
        "copy",
        seconds=copy.seconds,
        spread=copy.spread,
        bytes_moved=copy.amount,
    )
