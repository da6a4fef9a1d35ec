"""Rows as tables: what things take, how they compare, and what else was found."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.jobs import JOBS
from benchmarks.rows import Row
from experiments.tables.table import Table

_MISSING = "–"


def tables(rows: Sequence[Row]) -> list[Table]:
    """The tables that have anything in them."""
    found = [_times(rows), _comparisons(rows), _values(rows), _errors(rows)]
    return [table for table in found if table.rows]


def describe(machine: Mapping[str, Any]) -> str:
    """The machine in a line."""
    load = machine["load"]
    busy = "" if load is None else f", load {load:.1f} at the start"
    small = "; small sizes, nothing optimised (--quick)" if machine.get("quick") else ""
    return (
        f"{machine['device']} ({machine['backend']}), {machine['processor']},"
        f" {machine['cores']} cores{busy}; jax {machine['versions']['jax']},"
        f" {machine['date']}{small}"
    )


def summary(row: Row) -> str:
    """A row in a line, for who waits for the table."""
    if row.error is not None:
        return f"{row.name}: {row.error}"
    if row.value is not None:
        return f"{row.name}: {row.value:.3g} {row.unit}"
    if row.seconds is None:
        return f"{row.name}: {row.note}"
    faster = "" if row.ratio is None else f", {_digits(row.ratio)} times {row.peer}"
    return f"{row.name}: {_seconds(row.seconds)}{faster}"


def notes(rows: Iterable[Row]) -> list[str]:
    """Of each job its target, and what a reader must know, each once."""
    found = []
    for row in rows:
        job = JOBS.get(row.job)
        if job is not None and job.target is not None:
            found.append(f"{row.job}: wanted: {job.target}")
        if row.note:
            found.append(f"{row.job}: {row.note}")
    return list(dict.fromkeys(found))


def _times(rows: Sequence[Row]) -> Table:
    first: dict[str, Row] = {}
    for row in rows:
        if row.seconds is not None:
            first.setdefault(row.name, row)
    return Table(
        "What it takes",
        ("Job", "Median (quartiles)", "Compile", "Rate", "× limit", "Memory"),
        tuple(
            (
                name,
                _spread(row),
                _seconds(row.compile_seconds),
                _rate(row),
                _times_as_much(row.limit_ratio),
                _bytes(row.bytes_peak),
            )
            for name, row in first.items()
        ),
    )


def _comparisons(rows: Sequence[Row]) -> Table:
    return Table(
        "Against others, in turns, on the same inputs",
        ("Job", "Ours", "Peer", "Theirs", "Times faster"),
        tuple(
            (
                row.name,
                _seconds(row.seconds),
                row.peer or _MISSING,
                _seconds(row.peer_seconds),
                _times_as_much(row.ratio),
            )
            for row in rows
            if row.peer is not None and row.error is None
        ),
    )


def _values(rows: Sequence[Row]) -> Table:
    return Table(
        "What else was found",
        ("Job", "Value", "Of what"),
        tuple(
            (row.name, f"{row.value:.3g}", row.unit or _MISSING)
            for row in rows
            if row.value is not None
        ),
    )


def _errors(rows: Sequence[Row]) -> Table:
    return Table(
        "What went wrong",
        ("Job", "Peer", "Error"),
        tuple(
            (row.name, row.peer or _MISSING, " ".join(str(row.error).split()))
            for row in rows
            if row.error is not None
        ),
    )


def _seconds(seconds: float | None) -> str:
    """With three digits, in the unit that has them before or near the point.

    >>> [_seconds(x) for x in (0.0000123, 0.0123, 1.234, 123.4, None)]
    ['12.3 µs', '12.3 ms', '1.23 s', '123 s', '–']
    """
    if seconds is None:
        return _MISSING
    for factor, unit in ((1.0, "s"), (1e3, "ms")):
        if seconds * factor >= 1.0:
            return f"{_digits(seconds * factor)} {unit}"
    return f"{_digits(seconds * 1e6)} µs"


def _digits(number: float) -> str:
    """Three significant digits, without an exponent.

    >>> _digits(3.14159), _digits(27.18), _digits(1618.0)
    ('3.14', '27.2', '1618')
    """
    decimals = 2 if number < 10 else 1 if number < 100 else 0
    return f"{number:.{decimals}f}"


def _spread(row: Row) -> str:
    if row.spread is None:
        return _seconds(row.seconds)
    low, high = row.spread
    median, unit = _seconds(row.seconds).split()
    factor = {"s": 1.0, "ms": 1e3, "µs": 1e6}[unit]
    return f"{median} {unit} ({_digits(factor * low)}–{_digits(factor * high)})"


def _rate(row: Row) -> str:
    """Achieved arithmetic, or traffic where there is no arithmetic."""
    if row.seconds and row.flops:
        return f"{_digits(row.flops / row.seconds / 1e9)} GFLOP/s"
    if row.seconds and row.bytes_moved:
        return f"{_digits(row.bytes_moved / row.seconds / 1e9)} GB/s"
    return _MISSING


def _times_as_much(ratio: float | None) -> str:
    return _MISSING if ratio is None else _digits(ratio)


def _bytes(count: int | None) -> str:
    return _MISSING if count is None else f"{_digits(count / 2**20)} MiB"
