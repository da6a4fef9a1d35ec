"""Result files: one JSON-lines file per run, the only input of tables and figures.

The first line is `{"config": ..., "versions": ..., "seed": k, "method": ...,
"sessions": ...}`, every further line the record of one round. Files live at
`<results>/<suite>/<setting>/<method>/seed<k>.jsonl`.
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from amf_jax import files, records
from amf_jax.errors import InvalidArgumentError, ResultsError
from experiments import output, reading

#: Fields that say where results are kept, not what they are.
LOCATION_FIELDS = frozenset({"results_dir"})

#: The budget: a run may go on with a larger one.
BUDGET = "rounds"


def path(
    results_dir: str | os.PathLike[str],
    suite: str,
    setting: str,
    method: str,
    seed: int,
) -> Path:
    """Where the results of one run are kept.

    Example:
      >>> path("results", "metaworld", "8-8-0-0", "amf", 3).as_posix()
      'results/metaworld/8-8-0-0/amf/seed3.jsonl'
    """
    folder = files.local_path("results_dir", results_dir)
    return folder / suite / str(setting) / method / f"seed{seed}.jsonl"


def evidence_path(
    evidence_dir: str | os.PathLike[str], suite: str, setting: str, method: str
) -> Path:
    """Where the evidence of all seeds of a method is kept.

    Example:
      >>> evidence_path("evidence", "metaworld", "8-8-0-0", "amf").as_posix()
      'evidence/metaworld/8-8-0-0/amf.jsonl'
    """
    folder = files.local_path("evidence_dir", evidence_dir)
    return folder / suite / str(setting) / f"{method}.jsonl"


def refuse_evidence(results_dir: str | os.PathLike[str]) -> None:
    """Refuses to run into a folder of evidence: there is nothing to go on from.

    Raises:
      ResultsError: saying how runs get there.
    """
    folder = files.local_path("results_dir", results_dir)
    if next(folder.glob("*/*/*.jsonl"), None) is not None:
        raise ResultsError(
            f"results_dir: {folder} holds evidence, which no run writes to; run into"
            " another folder, then take its runs there with python -m"
            f" experiments.evidence <results_dir> --evidence={folder}"
        )


def plain_config(config: Any) -> dict[str, Any]:
    """A config as files hold it: without sections that leave every choice open.

    A run is then the same as before its config had the section.

    Example:
      >>> plain_config({"seed": 3, "search": {"name": None, "steps": None}})
      {'seed': 3}
    """
    plain: dict[str, Any] = {}
    for name, value in records.plain(config, "config").items():
        if isinstance(value, dict):
            value = plain_config(value)
            if all(choice is None for choice in value.values()):
                continue
        plain[name] = value
    return plain


def check_writable(directory: str | os.PathLike[str]) -> None:
    """Creates a folder and proves that files can be written to it.

    Raises:
      ResultsError: if the folder cannot be made or written to, with the reason.
    """
    output.check_folder(files.local_path("results_dir", directory), "results_dir")


def write(
    path: str | os.PathLike[str],
    header: Mapping[str, Any],
    rounds: Iterable[Mapping[str, Any]],
) -> None:
    """Writes a whole result file atomically: readers see the old file or the new one.

    Args:
      path: the result file; its folder is created if need be.
      header: `config`, `versions` and `seed`.
      rounds: the records of all rounds so far.

    Raises:
      ResultsError: if a value has no JSON form, or the file cannot be written. The file
        that was there before is then untouched.
    """
    path = Path(path)
    try:
        lines = [records.plain(header, "header")]
        lines += [records.plain(one, f"record {i}") for i, one in enumerate(rounds)]
    except InvalidArgumentError as error:
        raise ResultsError(f"cannot write {path}: {error}") from None
    text = "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.replace(path, text.encode())
    except OSError as error:
        raise ResultsError(f"cannot write {path}: {output.reason(error)}") from error


def remove_leftovers(path: Path) -> None:
    """Removes what processes left that were killed while they wrote a result file.

    To be called where no other one can be at it.
    """
    for temporary in path.parent.glob(f".{path.name}.*tmp"):
        temporary.unlink(missing_ok=True)


def identity(config: Mapping[str, Any], section: str = "") -> dict[str, Any]:
    """What tells a run's checkpoint from another run's, whatever its age and budget.

    Args:
      config: as files hold it, or a section of it.
      section: its name, with a point behind.

    Example:
      >>> identity({"seed": 3, "rounds": 20, "policy": {"name": None, "noise": 0.1}})
      {'seed': 3, 'policy': {'noise': 0.1}}
    """
    told = {}
    for name, value in config.items():
        field = f"{section}{name}"
        if isinstance(value, Mapping):
            value = identity(value, f"{field}.")
        elif field in reading.LATER_FIELDS and value == reading.LATER_FIELDS[field]:
            continue
        if field not in {*LOCATION_FIELDS, BUDGET} and value != {}:
            told[name] = value
    return told


def require_same_config(
    path: str | os.PathLike[str], config: Any, method: Mapping[str, Any] | None = None
) -> None:
    """Refuses to write over a result file of another config.

    Args:
      path: the result file; one that does not exist yet suits every config.
      config: the config of what wants to write it.
      method: what the config's method stands for; None compares the configs alone.

    Raises:
      ResultsError: naming the fields that differ and both their values.
    """
    if os.path.exists(path):
        _compare(path, reading.read(path), config, method, LOCATION_FIELDS)


def require_same_run(
    path: str | os.PathLike[str], config: Any, method: Mapping[str, Any] | None = None
) -> None:
    """Refuses to go on with another run's result file; its budget may have grown.

    Args:
      path: as in `require_same_config`, like the others.
      config: of the run that wants to go on.
      method: what the config's method stands for.

    Raises:
      ResultsError: as `require_same_config`, or the file is of a larger budget.
    """
    if not os.path.exists(path):
        return
    run = reading.read(path)
    _compare(path, run, config, method, {*LOCATION_FIELDS, BUDGET})
    if config[BUDGET] < run.config[BUDGET]:
        raise ResultsError(
            f"{path} holds a run of {run.config[BUDGET]} rounds, which can go on but"
            f" not be cut short: set rounds to as many or more, not {config[BUDGET]},"
            " or use another results_dir"
        )


def _compare(
    path: str | os.PathLike[str],
    run: reading.Run,
    config: Any,
    method: Mapping[str, Any] | None,
    ignore: Iterable[str],
) -> None:
    here = {"config": plain_config(config), "method": method or {}}
    differing = reading.header_differences(run.header, here, ignore)
    if differing:
        raise ResultsError(
            f"{path} was written by another config. Fields that differ (there, here): "
            f"{'; '.join(differing)}. Use another results_dir, or move the file and its"
            " checkpoint away"
        )
