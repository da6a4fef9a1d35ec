"""All of figure 7 of AMF-GP: 12 settings, 2 methods, 10 seeds, 40 rounds each."""

import tempfile
import time
from collections.abc import Iterator

from benchmarks.jobs.base import Bench, run_python
from benchmarks.rows import Row
from experiments.configs import loading
from experiments.execution import runner

#: The paper's own figure: its evaluation of Gaussian processes fits in 10 minutes.
PAPER_SECONDS = 600.0


def run(bench: Bench) -> Iterator[Row]:
    """The sweep as a user starts it, once; quickly, a single round of a run."""
    with tempfile.TemporaryDirectory() as folder:
        if bench.quick:
            case = "one round of a run, uniform choice, with compiling"
            yield Row("gaussian_process", case, seconds=_round(folder))
            return
        seconds = _sweep(folder)
    yield Row(
        "gaussian_process",
        "all of figure 7",
        seconds=seconds,
        peer="the paper's account",
        peer_seconds=PAPER_SECONDS,
        note=(
            "a single run, with the start of its processes and all compilations; the"
            " seeds of a setting and method are one program, on one process per core"
        ),
    )


def _round(folder: str) -> float:
    """Seconds of a round in this process; active choice takes long to compile."""
    overrides = {"method": "uniform", "rounds": 1, "results_dir": folder}
    config = loading.load("integrator:6", overrides)
    start = time.perf_counter()
    runner.execute(config)
    return time.perf_counter() - start


def _sweep(folder: str) -> float:
    """Seconds of the whole sweep in processes of its own, nothing compiled before."""
    start = time.perf_counter()
    run_python(
        *("-m", "experiments.sweep"),
        "--config=experiments/configs/sweeps.py:figure7",
        "--launcher=vmap",
        "--config.workers=0",
        f"--config.results_dir={folder}",
        environment={"JAX_COMPILATION_CACHE_DIR": f"{folder}/cache"},
    )
    return time.perf_counter() - start
