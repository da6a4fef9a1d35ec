"""Tasks ranked from arrays of a policy's last layer, which are projected if wide."""

import time
from collections.abc import Iterator

import numpy as np

from amf_jax import rank_tasks
from benchmarks.jobs.base import Bench
from benchmarks.rows import Row


def run(bench: Bench) -> Iterator[Row]:
    """One call, after one that compiles; then as many steps in equal episodes."""
    episodes, longest, features = (6, 14, 3) if bench.quick else (270, 700, 256)
    lengths = np.random.default_rng(0).integers(longest // 14, longest + 1, episodes)
    cases = {
        f"{lengths.sum()} steps in episodes of {lengths.min()} to {longest}": lengths,
        "about as many in equal episodes": np.full(episodes, round(lengths.mean())),
    }
    for case, each in cases.items():
        first, seconds = (_seconds(each, features) for _ in range(2))
        yield Row(
            "ranking",
            case,
            seconds=seconds,
            compile_seconds=max(first - seconds, 0.0),
            note=f"{features} features, 7 errors, 8 tasks; from NumPy to the ranking",
        )


def _seconds(lengths: np.ndarray, features: int) -> float:
    rng, ids = np.random.default_rng(1), np.repeat(np.arange(len(lengths)), lengths)
    given = (
        rng.standard_normal((len(ids), features), np.float32),
        rng.standard_normal((len(ids), 7), np.float32),
    )
    start = time.perf_counter()
    rank_tasks(*given, ids, ids % 8)
    return time.perf_counter() - start
