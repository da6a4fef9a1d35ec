"""What a benchmark measured: one row per job, case and peer, and the file of them."""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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
    """The machine and the rows of a file."""
    record = json.loads(path.read_text(encoding="utf-8"))
    return record["machine"], [from_json(entry) for entry in record["rows"]]


def from_json(entry: Mapping[str, Any]) -> Row:
    """The row that `to_json` wrote."""
    names = {field.name for field in dataclasses.fields(Row)}
    fields = {name: entry[name] for name in entry if name in names}
    if fields["spread"] is not None:
        fields["spread"] = tuple(fields["spread"])
    return Row(**fields)


def _quotient(above: float | None, below: float | None) -> float | None:
    return None if above is None or not below else above / below
