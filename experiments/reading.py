"""Result files read back, and their configs compared: what is on disk, as it is."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from amf_jax import files
from amf_jax.errors import ResultsError
from amf_jax.session.fingerprint import differences, flatten
from experiments import columns, output, schema

#: Fields of a config that are younger than some result files, and what those did.
LATER_FIELDS: Mapping[str, Any] = {
    "batch": 1,
    "threads": 1,
    "policy.name": None,
    "policy.observation_horizon": 1,
    "policy.action_chunk": 1,
    "policy.executed_steps": None,
}

#: Of a file: more than any run writes, and what it holds still fits into memory.
MOST_BYTES = 2**30

_REMEDY = (
    "repair the line, or move the file away: the run then goes on from its checkpoint,"
    " or starts anew without one"
)
_REMEDY_OF_EVIDENCE = (
    "restore the file from git, or make it anew with python -m experiments.evidence"
)


class Fields(dict[str, Any]):
    """An object of a file; to ask for a field that it lacks is an error that says so.

    Attributes:
      where: file and line.
      remedy: what to do about it.
    """

    __slots__ = ("remedy", "where")

    def __init__(self, fields: Mapping[str, Any], where: str, remedy: str = _REMEDY):
        super().__init__(fields)
        self.where, self.remedy = where, remedy

    def __missing__(self, name: str) -> Any:
        raise ResultsError(f"{self.where} has no field {name!r}; {self.remedy}")


class Run(NamedTuple):
    """The contents of one result file, or of one line of a file of evidence.

    Attributes:
      header: `config`, `versions`, `seed` and, in files that are not older than it,
        `method`.
      records: one dict per round, or whatever a study has, in the order of the file.
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
    """Reads and validates a result file; a last line that was cut off is dropped.

    Fields that `schema` does not know may hold anything. The file of a study is known
    by its folder, `study_<name>`.

    Raises:
      ResultsError: if the file is missing, its header is unusable, a line before the
        last is broken, or a field holds what it must not, naming file, line and field.
    """
    content = _content(path)
    lines = content.splitlines() or [b""]
    torn = len(lines) > 1 and not _is_json(lines[-1])
    if torn:
        lines.pop()
    objects = [
        _object(line, f"{path}, line {number}", _REMEDY)
        for number, line in enumerate(lines, start=1)
    ]
    booleans = _may_hold_booleans(
        content, len(lines[0])
    )  # the header's config has some
    if fault := schema.first_fault(objects, _study(Path(path).parent.name), booleans):
        raise ResultsError(f"{path}, line {fault.line} {fault.words}; {_REMEDY}")
    header = objects[0]
    header["config"] = Fields(header["config"], f"config of {path}")
    return Run(header, [*objects[1:]], torn)


def read_evidence(path: str | os.PathLike[str]) -> list[Run]:
    """Reads and validates a file of evidence: the runs of a method, one per line.

    A line is the header of a result file and its records by columns
    (`experiments.evidence`). Every line counts: one that was cut off is an error.

    Returns:
      The runs by ascending seed; a record has every field of the file.

    Raises:
      ResultsError: as for `read`, or two lines are of one seed, or not in order.
    """
    runs: list[Run] = []
    for number, line in enumerate(_content(path).splitlines() or [b""], start=1):
        where = f"{path}, line {number}"
        header = _object(line, where, _REMEDY_OF_EVIDENCE)
        rows = columns.rows(header.pop("records", None))
        if rows is None:
            raise ResultsError(
                f"{where} has no records by columns of one length; "
                f"{_REMEDY_OF_EVIDENCE}"
            )
        records = [
            Fields(row, f"{where}, record {place}", _REMEDY_OF_EVIDENCE)
            for place, row in enumerate(rows)
        ]
        booleans = _may_hold_booleans(line, max(line.rfind(b'"records":'), 0))
        fault = schema.first_fault(
            [header, *records], _study(Path(path).stem), booleans
        )
        if fault is not None:
            record = f", record {fault.line - 2}" if fault.line > 1 else ""
            raise ResultsError(f"{where}{record} {fault.words}; {_REMEDY_OF_EVIDENCE}")
        if runs and header["seed"] <= runs[-1].seed:
            raise ResultsError(
                f"{where} is of seed {header['seed']} behind seed {runs[-1].seed}; each"
                f" seed has one line, in ascending order; {_REMEDY_OF_EVIDENCE}"
            )
        header["config"] = Fields(
            header["config"], f"config of {where}", _REMEDY_OF_EVIDENCE
        )
        runs.append(Run(header, [*records]))
    return runs


def _object(line: bytes, where: str, remedy: str) -> Fields:
    """The object that a line holds.

    Raises:
      ResultsError: it holds none.
    """
    try:
        value = files.FAST_JSON.decode(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # of syntax, encoding or depth
        raise ResultsError(f"{where} is not JSON ({error}); {remedy}") from error
    if type(value) is not dict:
        raise ResultsError(f"{where} is not a JSON object; {remedy}")
    return Fields(value, where, remedy)


def _is_json(line: bytes) -> bool:
    try:
        files.FAST_JSON.decode(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return False
    return True


def _study(name: str) -> str | None:
    """The study whose records go by that name; None where it is a method's."""
    return name.removeprefix("study_") if name.startswith("study_") else None


def _may_hold_booleans(text: bytes, start: int) -> bool:
    return max(text.find(b"true", start), text.find(b"false", start)) >= 0


def _content(path: str | os.PathLike[str]) -> bytes:
    try:
        with files.open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > MOST_BYTES:
                raise OSError(f"it has {size} bytes, more than {MOST_BYTES}")
            return file.read()
    except OSError as error:
        raise ResultsError(f"cannot read {path}: {output.reason(error)}") from error


def is_complete(run: Run, rounds: int) -> bool:
    """Whether a run holds the records of rounds 0 to `rounds`, each once, in order."""
    return len(run.records) == rounds + 1 and all(
        record.get("round") == number for number, record in enumerate(run.records)
    )


def complete(config: Mapping[str, Any]) -> dict[str, Any]:
    """The fields as `fingerprint.flatten`, also those that the file is older than."""
    return {**LATER_FIELDS, **flatten(config)}


def header_differences(
    first: Mapping[str, Any], second: Mapping[str, Any], ignore: Iterable[str]
) -> list[str]:
    """Where two headers differ in what decides a run's records.

    Args:
      first: a header with a `config`.
      second: another one.
      ignore: fields of the config that may differ.

    Returns:
      As `fingerprint.differences`, of the configs and of what their methods' names
      stood for. The latter are compared as far as both say it: older files do not.
    """
    differing = differences(
        complete(first["config"]), complete(second["config"]), ignore
    )
    one, two = first.get("method", {}), second.get("method", {})
    return differing + [
        f"method.{line}" for line in differences(one, two, one.keys() ^ two.keys())
    ]
