"""What a benchmark measured: one row per job, case and peer, and the file of them."""

import dataclasses
import json
import os
import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from amf_jax import files
from amf_jax.errors import ResultsError

#: What is known of a machine, and those fields of a row that are text.
_MACHINE = {"device", "backend", "processor", "cores", "load", "versions", "date"}
_TEXTS = {"job", "case", "peer", "unit", "note", "error"}

_FIRST = (
    "job",
    "case",
    "seconds",
    "spread",
    "peer",
    "peer_seconds",
    "ratio",
    "limit_seconds",
    "limit_ratio",
    "bytes_peak",
)


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table; None where a field does not apply.

    Attributes:
      job: a key of `jobs.JOBS`.
      case: which of the job's sizes or settings.
      seconds: median of the warm calls.
      spread: quartiles of the same calls, in seconds.
      peer: who does the same work on the same inputs.
      peer_seconds: the peer's median, from calls in turn with ours.
      limit_seconds: how long the same arithmetic or traffic takes this machine when it
        does nothing else.
      bytes_peak: arguments, outputs and temporary buffers of the program as compiled.
      compile_seconds: tracing and compiling, which `seconds` leaves out.
      flops: arithmetic that the job needs, in floating-point operations.
      bytes_moved: memory traffic that it needs.
      value: what was measured where that is not a time, such as an exponent.
      unit: of `value`.
      note: what a reader must know to read the row right.
      error: what went wrong; such a row holds no time.
    """

    job: str
    case: str | None = None
    seconds: float | None = None
    spread: tuple[float, float] | None = None
    peer: str | None = None
    peer_seconds: float | None = None
    limit_seconds: float | None = None
    bytes_peak: int | None = None
    compile_seconds: float | None = None
    flops: float | None = None
    bytes_moved: float | None = None
    value: float | None = None
    unit: str | None = None
    note: str | None = None
    error: str | None = None

    @property
    def ratio(self) -> float | None:
        """How many times faster than the peer."""
        return _quotient(self.peer_seconds, self.seconds)

    @property
    def limit_ratio(self) -> float | None:
        """How many times the machine's limit; 1 is the limit itself."""
        return _quotient(self.seconds, self.limit_seconds)

    @property
    def name(self) -> str:
        """The job and its case."""
        return self.job if self.case is None else f"{self.job}, {self.case}"


def to_json(row: Row) -> dict[str, Any]:
    """All fields and both ratios, in the order of a table."""
    fields = dataclasses.asdict(row)
    given = {**fields, "ratio": row.ratio, "limit_ratio": row.limit_ratio}
    return {name: given[name] for name in (*_FIRST, *fields)}


def write(path: Path, machine: Mapping[str, Any], rows: Sequence[Row]) -> None:
    """Writes the file anew, atomically: what is there is always a whole table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {"machine": dict(machine), "rows": [to_json(row) for row in rows]}
    partial = path.with_name(path.name + ".partial")
    partial.write_text(
        json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8"
    )
    os.replace(partial, path)


def read(path: Path) -> tuple[dict[str, Any], list[Row]]:
    """The machine and the rows of a file.

    Raises:
      ResultsError: it cannot be read, or holds anything else than `write` writes.
    """
    try:
        record = files.parse_json(files.read_text(path))
        machine, measured = record["machine"], list(map(from_json, record["rows"]))
        if not machine.keys() >= _MACHINE or "jax" not in machine["versions"]:
            raise ValueError("the machine is not described")
        if machine["load"] is not None and not _is_number(machine["load"]):
            raise ValueError(f"load is {machine['load']!r}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ResultsError(
            f"cannot read the measurements in {path} ({error}); make bench writes them"
        ) from error
    return machine, measured


def from_json(entry: Mapping[str, Any]) -> Row:
    """The row that `to_json` wrote.

    Raises:
      ValueError: a field holds what it cannot.
    """
    names = [field.name for field in dataclasses.fields(Row)]
    fields = {name: entry[name] for name in names if name in entry}
    for name, value in fields.items():
        if not _fits(name, value):
            raise ValueError(f"{name} is {reprlib.repr(value)}")
    if fields["spread"] is not None:
        fields["spread"] = tuple(fields["spread"])
    return Row(**fields)


def _fits(name: str, value: Any) -> bool:
    if value is None:
        return name != "job"
    if name in _TEXTS:
        return isinstance(value, str)
    if name == "spread":
        return (
            isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))
        )
    return _is_number(value)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _quotient(above: float | None, below: float | None) -> float | None:
    return None if above is None or not below else above / below
