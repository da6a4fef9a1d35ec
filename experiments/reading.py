"""Result files read back, and their configs compared: what is on disk, as it is."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from amf_jax.errors import ResultsError

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


def is_complete(run: Run, rounds: int) -> bool:
    """Whether a run holds the records of rounds 0 to `rounds`, each once, in order."""
    return [record.get("round") for record in run.records] == list(range(rounds + 1))


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
