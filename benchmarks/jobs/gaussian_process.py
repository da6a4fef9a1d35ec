"""All of figure 7 of AMF-GP: 12 settings, 2 methods, 10 seeds, 40 rounds each."""

import tempfile
import time
from collections.abc import Iterator, Sequence

from benchmarks.jobs.base import Bench, run_python
from benchmarks.rows import Row
from experiments import cell
from experiments.configs import integrator

#: The paper's own figure: its evaluation of Gaussian processes fits in 10 minutes.
PAPER_SECONDS = 600.0

#: Settings that are run: some first, with all that is to be compiled, then more.
_FIRST, _MORE = ("1",), ("4", "7", "10")


def run(bench: Bench) -> Iterator[Row]:
    """An estimate from the sweep of a few settings."""
    with tempfile.TemporaryDirectory() as folder:
        if bench.quick:
            case = "one round of a cell, uniform choice, with compiling"
            yield Row("gaussian_process", case, seconds=_cell(folder))
            return
        first, more = _sweep(folder, _FIRST), _sweep(folder, _FIRST + _MORE)
    each = more / len(_MORE)
    count = len(integrator.SETTINGS)
    yield Row(
        "gaussian_process",
        "estimate",
        seconds=first + each * (count - len(_FIRST)),
        peer="the paper's account",
        peer_seconds=PAPER_SECONDS,
        note=(
            f"an estimate from {len(_FIRST + _MORE)} of {count} settings, all seeds of"
            " a setting and method in one program, on one process per core: the first"
            " with the start of the processes and all compilations, the others as many"
            " times as there are settings left"
        ),
    )


def _cell(folder: str) -> float:
    """Seconds of a round in this process; active choice takes long to compile."""
    config = integrator.get_config("6")
    config.update(method="uniform", rounds=1, results_dir=folder)
    start = time.perf_counter()
    cell.run_cell(config)
    return time.perf_counter() - start


def _sweep(folder: str, settings: Sequence[str]) -> float:
    """Seconds that the sweep takes for the settings that are not there yet."""
    cells = tuple(f"integrator:{setting}" for setting in settings)
    start = time.perf_counter()
    run_python(
        *("-m", "experiments.sweep"),
        "--config=experiments/configs/sweeps.py:figure7",
        "--launcher=vmap",
        f"--config.cells={cells}",
        "--config.workers=0",
        f"--config.results_dir={folder}",
        environment={"JAX_COMPILATION_CACHE_DIR": f"{folder}/cache"},
    )
    return time.perf_counter() - start
