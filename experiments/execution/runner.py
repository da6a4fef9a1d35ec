"""One run of an experiment, to its end: a suite, a setting, a method, a seed."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from amf_jax import errors
from amf_jax.lock import Lock
from amf_jax.provenance import Session
from experiments import build, methods, output, reading, results

Record = dict


def execute(
    config: ConfigDict, on_round: Callable[[Record], None] | None = None
) -> Path:
    """Runs a config, resumes its run where it stopped, or leaves a finished run alone.

    One that is finished goes on if the config has more rounds.

    The results file is written anew after every round, atomically. It is restored from
    the checkpoint beside it if its last line was torn.

    Args:
      config: of the run.
      on_round: called with each new record once it is on disk.

    Returns:
      The results file.

    Raises:
      ResultsError: the folder is not writable, or its file is another config's, or of
        more rounds.
      RunInUseError: another process is at it.
      AmfError: for what else is wrong with the config or goes wrong in a round.
    """
    with claimed(config) as path:
        checkpoint = path.with_suffix(".checkpoint")
        if path.exists():
            run = reading.read(path)
            if not run.torn and reading.is_complete(run, config.rounds):
                return path
            _check_checkpoint(run, checkpoint, path)
        identity = results.identity(results.plain_config(config))
        experiment = build.build(config, checkpoint, identity)
        tuner = experiment.tuner

        def write() -> None:
            results.write(path, header(config, tuner.sessions), tuner.records)

        def record(latest: Record) -> None:
            write()
            if on_round is not None:
                on_round(latest)

        try:
            tuner.run(record)
            write()
        finally:
            tuner.close()
            experiment.environment.close()
        return path


@contextlib.contextmanager
def claimed(config: ConfigDict) -> Iterator[Path]:
    """The results file of a run, once it is clear that this process may write it.

    No other process can have it within the block.

    Raises:
      ResultsError: the folder is not writable, or its file is another config's.
      RunInUseError: another process is at it.
    """
    path = results.path(
        config.results_dir, config.suite, config.setting, config.method, config.seed
    )
    results.refuse_evidence(config.results_dir)
    results.check_writable(path.parent)
    try:
        held = Lock(path.with_suffix(".lock"), path)
    except OSError as error:
        raise errors.ResultsError(
            f"cannot lock {path}: {output.reason(error)}"
        ) from error
    try:
        results.remove_leftovers(path)
        method = dataclasses.asdict(methods.get(config.method))
        results.require_same_run(path, config, method)
        yield path
    finally:
        held.release()


def header(config: ConfigDict, sessions: Sequence[Session]) -> dict[str, Any]:
    """The first line of a run's results file.

    Args:
      config: of the run.
      sessions: that made its rounds; the versions are those of the last one.
    """
    return {
        "config": results.plain_config(config),
        "versions": sessions[-1]["versions"],
        "seed": config.seed,
        "method": dataclasses.asdict(methods.get(config.method)),
        "sessions": sessions,
    }


def _check_checkpoint(run: reading.Run, checkpoint: Path, path: Path) -> None:
    """Refuses to begin anew what is finished with a smaller budget."""
    before = run.config["rounds"]
    if not checkpoint.exists() and reading.is_complete(run, before):
        raise errors.ResultsError(
            f"{path} holds a finished run of {before} rounds, but {checkpoint.name},"
            " from which it could go on, is not beside it; use another results_dir"
        )
