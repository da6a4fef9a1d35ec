"""One selection split over several devices or processes."""

from collections.abc import Iterator

from benchmarks.jobs.base import Bench
from benchmarks.rows import Row


def run(bench: Bench) -> Iterator[Row]:
    """A row without a number, as long as the library computes on one device alone."""
    del bench
    yield Row("devices", note="not measured: a selection runs on one device")
