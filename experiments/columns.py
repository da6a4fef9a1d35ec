"""Records by columns: each field once, with its values in all records."""

from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Any


def columns(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The columns of some records; null where a record lacks a field.

    Returns:
      By field, a list with one value for each record; None for a field that is null
      throughout, and a field that is an object in every record is an object of such
      columns.

    Example:
      >>> columns([{"round": 0, "task": None, "seconds": {"select": 0.5}},
      ...          {"round": 1, "task": None, "seconds": {"select": 2.0}}])
      {'round': [0, 1], 'task': None, 'seconds': {'select': [0.5, 2.0]}}
    """
    return {name: _nested(values) for name, values in _by_field(records).items()}


def _nested(values: list[Any]) -> list[Any] | dict[str, Any] | None:
    if all(isinstance(value, Mapping) for value in values):
        return {name: _flat(inner) for name, inner in _by_field(values).items()}
    return _flat(values)


def _flat(values: list[Any]) -> list[Any] | None:
    return None if all(value is None for value in values) else values


def _by_field(records: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    names = dict.fromkeys(name for record in records for name in record)
    return {name: [record.get(name) for record in records] for name in names}


def rows(found: Any) -> list[dict[str, Any]] | None:
    """The records whose columns these are, each with every field.

    Args:
      found: what stands where columns should be; anything.

    Returns:
      The records; None if these are no columns, or not all of one length.

    Example:
      >>> rows({"round": [0, 1], "task": None, "seconds": {"select": [0.5, 2.0]}})[1]
      {'round': 1, 'task': None, 'seconds': {'select': 2.0}}
      >>> rows({"round": [0, 1], "task": [0]})
    """
    if type(found) is not dict:
        return None
    leaves = [
        leaf
        for column in found.values()
        for leaf in (column.values() if type(column) is dict else [column])
    ]
    lengths = {len(leaf) for leaf in leaves if type(leaf) is list}
    if len(lengths) != 1 or any(type(leaf) not in (list, NoneType) for leaf in leaves):
        return None
    (count,) = lengths
    return _filled(found, count)


def _filled(found: Mapping[str, Any], count: int) -> list[dict[str, Any]]:
    by_name = {name: _values(column, count) for name, column in found.items()}
    return [
        {name: values[row] for name, values in by_name.items()} for row in range(count)
    ]


def _values(column: Any, count: int) -> list[Any]:
    if column is None:
        return [None] * count
    return column if type(column) is list else _filled(column, count)
