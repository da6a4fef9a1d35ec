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
from typing import Any, NamedTuple

import numpy as np

from amf_jax.errors import ResultsError

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

#: Fields of a config that are younger than some result files, and what those did.
LATER_FIELDS: Mapping[str, Any] = {"batch": 1}

_ABSENT = object()


class Run(NamedTuple):
    """The contents of one result file.

    Attributes:
      header: `config`, `versions`, `seed` and, in files that are not older than it,
        `method`.
      records: one dict per line after the header, in the order of the file.
      torn: True where the last line was cut off; it is not among the records.
    """

    header: dict[str, Any]
    records: list[dict[str, Any]]
    torn: bool = False

    @property
    def config(self) -> dict[str, Any]:
        """The resolved config of the run."""
        return self.header["config"]

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return self.header["seed"]

    @property
    def batch(self) -> int:
        """How many tasks were chosen per round."""
        return complete(self.config)["batch"]


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


def read(path: str | os.PathLike[str]) -> Run:
    """Reads a result file; a last line that was cut off is dropped and flagged.

    Raises:
      ResultsError: if the file is missing, its header is unusable, or a line before the
        last is broken, naming the file and the line.
    """
    try:
        lines = Path(path).read_bytes().splitlines()
    except OSError as error:
        raise ResultsError(f"cannot read {path}: {error.strerror}") from error
    values, torn = [], False
    for number, line in enumerate(lines, start=1):
        try:
            value = json.loads(line)
        except ValueError as error:  # of the syntax or of the encoding
            if 1 < number == len(lines):
                torn = True
                break
            raise ResultsError(
                f"{path}, line {number} is not JSON ({error}); repair the line, or "
                "delete the file to redo the run"
            ) from error
        if not isinstance(value, dict):
            raise ResultsError(f"{path}, line {number} is not a JSON object")
        values.append(value)
    if not values or not {"config", "seed"} <= values[0].keys():
        raise ResultsError(
            f"{path}, line 1 is no header with config, versions and seed; delete the "
            "file to redo the run"
        )
    return Run(values[0], values[1:], torn)


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The fields of a config, nested ones as `outer.inner`."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def complete(config: Mapping[str, Any]) -> dict[str, Any]:
    """The fields as `flatten`, also those that the file is older than."""
    return {**LATER_FIELDS, **flatten(config)}


def identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """What tells a run's checkpoint from another run's, whatever its age."""
    known = LOCATION_FIELDS | {
        name for name, value in LATER_FIELDS.items() if config.get(name) == value
    }
    return {name: config[name] for name in config if name not in known}


def differences(
    first: Mapping[str, Any], second: Mapping[str, Any], ignore: Iterable[str]
) -> list[str]:
    """`field: first's value, second's value` of every field that differs."""
    one, two = flatten(first), flatten(second)

    def show(value: Any) -> str:
        return "absent" if value is _ABSENT else repr(value)

    return [
        f"{name}: {show(one.get(name, _ABSENT))}, {show(two.get(name, _ABSENT))}"
        for name in sorted((one.keys() | two.keys()) - set(ignore))
        if one.get(name, _ABSENT) != two.get(name, _ABSENT)
    ]


def header_differences(
    first: Mapping[str, Any], second: Mapping[str, Any], ignore: Iterable[str]
) -> list[str]:
    """Where two headers differ in what decides a run's records.

    Args:
      first: a header with a `config`.
      second: another one.
      ignore: fields of the config that may differ.

    Returns:
      As `differences`, of the configs and of what their methods' names stood for. The
      latter are compared as far as both say it: older files do not.
    """
    differing = differences(
        complete(first["config"]), complete(second["config"]), ignore
    )
    one, two = first.get("method", {}), second.get("method", {})
    return differing + [
        f"method.{line}" for line in differences(one, two, one.keys() ^ two.keys())
    ]


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
    differing = header_differences(read(path).header, here, LOCATION_FIELDS)
    if differing:
        raise ResultsError(
            f"{path} was written by another config. Fields that differ (there, here): "
            f"{'; '.join(differing)}. Use another results_dir, or delete the file"
        )


def is_complete(run: Run, rounds: int) -> bool:
    """Whether a run holds the records of rounds 0 to `rounds`, each once, in order."""
    return [record.get("round") for record in run.records] == list(range(rounds + 1))
