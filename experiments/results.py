"""Result files: one JSON-lines file per run, the only input of tables and figures.

The first line is `{"config": ..., "versions": ..., "seed": k, "method": ...}`, every
further line the record of one round. Files live at
`<results>/<suite>/<setting>/<method>/seed<k>.jsonl`.
"""

import importlib.metadata
import json
import math
import os
import platform
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from amf_jax.errors import ResultsError
from experiments import reading

#: Distributions whose versions decide what a run computes.
PACKAGES = (
    "amf_jax",
    "jax",
    "jaxlib",
    "numpy",
    "scipy",
    "flax",
    "optax",
    "gpjax",
    "orbax-checkpoint",
    "mujoco",
    "metaworld",
    "gymnasium-robotics",
)

#: Fields that say where results are kept, not what they are.
LOCATION_FIELDS = frozenset({"results_dir"})


def path(
    results_dir: str | os.PathLike[str],
    suite: str,
    setting: str,
    method: str,
    seed: int,
) -> Path:
    """Where the results of one cell are kept.

    Example:
      >>> path("results", "metaworld", "8-8-0-0", "amf", 3).as_posix()
      'results/metaworld/8-8-0-0/amf/seed3.jsonl'
    """
    return Path(results_dir) / suite / str(setting) / method / f"seed{seed}.jsonl"


def versions() -> dict[str, str]:
    """Versions of Python and of the installed packages among `PACKAGES`."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def to_plain(value: Any, where: str = "record") -> Any:
    """Turns configs, arrays and scalars into what JSON holds; NaN and inf become None.

    Args:
      value: nested mappings and sequences (ml_collections configs included) of arrays
        and scalars.
      where: name of the value, for the error message.

    Returns:
      The same structure of dict, list, str, int, float, bool and None.

    Raises:
      ResultsError: for a value that JSON cannot hold, naming its field.

    Example:
      >>> to_plain({"success": np.array([0.5, np.nan]), "task": np.int32(2)})
      {'success': [0.5, None], 'task': 2}
    """
    if hasattr(value, "to_dict"):  # ml_collections configs are not Mappings
        value = value.to_dict()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): to_plain(v, f"{where}.{k}") for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted(value) if isinstance(value, set | frozenset) else value
        return [to_plain(v, f"{where}[{i}]") for i, v in enumerate(items)]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "__array__"):
        return to_plain(np.asarray(value).tolist(), where)
    raise ResultsError(
        f"{where} is a {type(value).__name__}, which a results file cannot hold; "
        "give numbers, strings, arrays, or nested dicts and lists of them"
    )


def plain_config(config: Any) -> dict[str, Any]:
    """A config as files hold it: without sections that leave every choice open.

    A run is then the same cell as before its config had the section.

    Example:
      >>> plain_config({"seed": 3, "search": {"name": None, "steps": None}})
      {'seed': 3}
    """
    plain: dict[str, Any] = {}
    for name, value in to_plain(config, "config").items():
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
    directory = Path(directory)
    probe = directory / f".writable-{os.getpid()}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ResultsError(
            f"results_dir: cannot write to {directory} ({error.strerror}); "
            "name a folder that can be created and written to"
        ) from error


def write(
    path: str | os.PathLike[str],
    header: Mapping[str, Any],
    records: Iterable[Mapping[str, Any]],
) -> None:
    """Writes a whole result file atomically: readers see the old file or the new one.

    Args:
      path: the result file; its folder is created if need be.
      header: `config`, `versions` and `seed`.
      records: the records of all rounds so far.

    Raises:
      ResultsError: if a value has no JSON form, or the file cannot be written. The file
        that was there before is then untouched.
    """
    path = Path(path)
    lines = [to_plain(header, "header")]
    lines += [to_plain(record, f"record {i}") for i, record in enumerate(records)]
    text = "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines)
    # A fixed name: what a killed process leaves behind is overwritten next time.
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise ResultsError(f"cannot write {path}: {error.strerror}") from error


def identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """What tells a run's checkpoint from another run's, whatever its age."""
    known = LOCATION_FIELDS | {
        name
        for name, value in reading.LATER_FIELDS.items()
        if config.get(name) == value
    }
    return {name: config[name] for name in config if name not in known}


def require_same_config(
    path: str | os.PathLike[str], config: Any, method: Mapping[str, Any] | None = None
) -> None:
    """Refuses to go on with a result file that another config wrote.

    Args:
      path: the result file; one that does not exist yet suits every config.
      config: the config of the run that wants to add to it.
      method: what the config's method stands for; None compares the configs alone.

    Raises:
      ResultsError: naming the fields that differ and both their values.
    """
    if not Path(path).exists():
        return
    here = {"config": plain_config(config), "method": method or {}}
    differing = reading.header_differences(
        reading.read(path).header, here, LOCATION_FIELDS
    )
    if differing:
        raise ResultsError(
            f"{path} was written by another config. Fields that differ (there, here): "
            f"{'; '.join(differing)}. Use another results_dir, or delete the file"
        )
