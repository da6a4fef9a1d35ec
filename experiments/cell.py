"""One cell of an experiment, run to its end: a suite, a setting, a method, a seed."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from experiments import build, methods, reading, results

Record = dict


def run_cell(
    config: ConfigDict, on_round: Callable[[Record], None] | None = None
) -> Path:
    """Runs a cell, resumes it where it stopped, or leaves it as it is if finished.

    The results file is written anew after every round, atomically. It is restored from
    the checkpoint beside it if its last line was torn.

    Args:
      config: of the cell.
      on_round: called with each new record once it is on disk.

    Returns:
      The results file.

    Raises:
      ResultsError: the folder is not writable, or its file is another config's.
      AmfError: for what else is wrong with the config or goes wrong in a round.
    """
    path = claim(config)
    if path.exists():
        run = reading.read(path)
        if not run.torn and reading.is_complete(run, config.rounds):
            return path
    first = header(config)
    checkpoint = path.with_suffix(".checkpoint")
    experiment = build.build(config, checkpoint, results.identity(first["config"]))
    tuner = experiment.tuner

    def record(latest: Record) -> None:
        results.write(path, first, tuner.records)
        if on_round is not None:
            on_round(latest)

    try:
        tuner.run(record)
        results.write(path, first, tuner.records)
    finally:
        tuner.close()
        experiment.suite.close()
    return path


def claim(config: ConfigDict) -> Path:
    """The results file of a cell, once it is clear that the cell may write it.

    Raises:
      ResultsError: the folder is not writable, or its file is another config's.
    """
    path = results.path(
        config.results_dir, config.suite, config.setting, config.method, config.seed
    )
    results.check_writable(path.parent)
    method = dataclasses.asdict(methods.get(config.method))
    results.require_same_config(path, config, method)
    return path


def header(config: ConfigDict) -> dict[str, Any]:
    """The first line of a cell's results file."""
    return {
        "config": results.plain_config(config),
        "versions": results.versions(),
        "seed": config.seed,
        "method": dataclasses.asdict(methods.get(config.method)),
    }
