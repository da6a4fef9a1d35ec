"""All of figure 7 of AMF-GP: 12 settings, 2 methods, 10 seeds, 40 rounds each."""

import tempfile
import time
from collections.abc import Iterator

from benchmarks.jobs.base import Bench, run_python
from benchmarks.rows import Row
from experiments import cell
from experiments.configs import integrator

#: The paper's own figure: its evaluation of Gaussian processes fits in 10 minutes.
PAPER_SECONDS = 600.0
CELLS = 12 * 2 * 10

#: Seeds of the setting "6 of 12 tasks" that are run: some first, then more.
_FIRST, _MORE = 1, 4
_CELLS_PER_SEED = 2


def run(bench: Bench) -> Iterator[Row]:
    """An estimate from the sweep of a few cells."""
    with tempfile.TemporaryDirectory() as folder:
        if bench.quick:
            case = "one round of a cell, uniform choice, with compiling"
            yield Row("gaussian_process", case, seconds=_cell(folder))
            return
        first, more = _sweep(folder, _FIRST), _sweep(folder, _MORE)
    each = more / ((_MORE - _FIRST) * _CELLS_PER_SEED)
    yield Row(
        "gaussian_process",
        "estimate",
        seconds=first + each * (CELLS - _CELLS_PER_SEED),
        peer="the paper's account",
        peer_seconds=PAPER_SECONDS,
        note=(
            f"an estimate from {_MORE * _CELLS_PER_SEED} of {CELLS} cells, all of one"
            " setting, on one process per core: the first two with the start of the"
            " processes and all compilations, the others as many times as there are"
            " cells left"
        ),
    )


def _cell(folder: str) -> float:
    """Seconds of a round in this process; active choice takes long to compile."""
    config = integrator.get_config("6")
    config.update(method="uniform", rounds=1, results_dir=folder)
    start = time.perf_counter()
    cell.run_cell(config)
    return time.perf_counter() - start


def _sweep(folder: str, seeds: int) -> float:
    """Seconds that the sweep takes for the seeds that are not there yet."""
    start = time.perf_counter()
    run_python(
        *("-m", "experiments.sweep"),
        "--config=experiments/configs/sweeps.py:figure7",
        "--config.cells=integrator:6",
        f"--config.seeds={seeds}",
        "--config.workers=0",
        f"--config.results_dir={folder}",
        environment={"JAX_COMPILATION_CACHE_DIR": f"{folder}/cache"},
    )
    return time.perf_counter() - start
