"""Kinds of values that a field of a result file may hold.

NaN and infinity are no numbers.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence, Sized
from itertools import chain, starmap
from typing import Any, NamedTuple

#: Of a number: far beyond float32, and its square is still finite.
_LARGEST = 1e100
#: Of a count: what a float holds exactly.
_MOST = 2**53
#: Objects and lists within each other in a header; a config needs three.
_MOST_LEVELS = 20


@dataclasses.dataclass
class Shared:
    """What the lines of one file have in common.

    Attributes:
      booleans: whether its records may hold `true` or `false`.
      lengths: such as C, the number of tasks, by name, as far as known.
      batch: how many tasks are chosen per round.
    """

    booleans: bool
    lengths: dict[str, int] = dataclasses.field(default_factory=dict)
    batch: int = 1

    def fit(self, values: Iterable[Sized], name: str | int) -> bool:
        """Whether all are as long as the name says; the first ones define it.

        A number is its own name, and "" any length.
        """
        if name == "":
            return True
        found = {*map(len, values)}
        if len(found) == 1 and isinstance(name, str):
            self.lengths.setdefault(name, *found)
        return found <= {name if isinstance(name, int) else self.lengths.get(name)}


def _is_doubtful(values: list[Any], file: Shared) -> bool:
    return False


class Kind(NamedTuple):
    """What a field may hold.

    Attributes:
      words: how a message says it, behind "must be".
      holds: whether a value is one.
      surely: whether all of a list are, at the speed of C; False where in doubt. Most
        of a file is long lists of numbers, and to read them is to parse them.
    """

    words: str
    holds: Callable[[Any, Shared], bool]
    surely: Callable[[list[Any], Shared], bool] = _is_doubtful


def or_null(kind: Kind) -> Kind:
    """A value of the kind, or null."""
    return Kind(
        f"{kind.words}, or null",
        lambda value, file: value is None or kind.holds(value, file),
        lambda values, file: kind.surely([v for v in values if v is not None], file),
    )


def is_number(value: Any) -> bool:
    """Whether a value of a file is one finite number; `true` is none."""
    return type(value) in (int, float) and abs(value) <= _LARGEST


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number from 0 on; `true` is none."""
    return type(value) is int and 0 <= value < _MOST


def are_numbers(values: Iterable[Any], gaps: bool) -> bool:
    """Whether all are numbers, or null where there may be gaps."""
    return all(is_number(v) or (gaps and v is None) for v in values)


def are_surely_numbers(rows: Iterable[Iterable[Any]], file: Shared) -> bool:
    """Whether these are numbers alone.

    Of what is no number there is no norm, and that of one too large is too large. NaN
    has been refused as no JSON.
    """
    if file.booleans:
        return False
    try:
        return max(starmap(math.hypot, rows), default=0.0) <= _LARGEST
    except (TypeError, OverflowError):
        return False


def _are_surely_whole(values: Sequence[Any], below: int) -> bool:
    if not values:
        return True
    return {*map(type, values)} == {int} and min(values) >= 0 and max(values) < below


def are(kind: type, values: Iterable[Any]) -> bool:
    """Whether all are of that very type."""
    return {*map(type, values)} <= {kind}


def array(words: str, *shape: str | int, gaps: bool = True) -> Kind:
    """Numbers in a list, or in lists of one length.

    Args:
      words: of the kind.
      *shape: lengths, or names of some that stay the same throughout a file; "" is any
        length.
      gaps: whether null may stand for a number.
    """

    def rows(values: list[Any], file: Shared) -> list[list[Any]] | None:
        """The lists of numbers in values of that shape."""
        if not (are(list, values) and file.fit(values, shape[0])):
            return None
        if len(shape) == 1:
            return values
        inner = [*chain.from_iterable(values)]
        if not are(list, inner) or any([len({*map(len, v)}) > 1 for v in values]):
            return None
        return inner if file.fit(inner, shape[1]) else None

    def holds(value: Any, file: Shared) -> bool:
        found = rows([value], file)
        return found is not None and all(are_numbers(row, gaps) for row in found)

    def surely(values: list[Any], file: Shared) -> bool:
        found = rows(values, file)
        return found is not None and are_surely_numbers(found, file)

    return Kind(words, holds, surely)


def _is_shallow(value: Any, levels: int = _MOST_LEVELS) -> bool:
    inside = value.values() if type(value) is dict else value
    return type(value) not in (dict, list) or (
        levels > 0 and all(_is_shallow(part, levels - 1) for part in inside)
    )


def objects(value: Any) -> bool:
    """Whether a value is a list of objects, none of them too deep."""
    return type(value) is list and all(
        type(v) is dict and _is_shallow(v) for v in value
    )


def texts(value: Any) -> bool:
    """Whether a value is a list of strings that can be printed."""
    return type(value) is list and all(map(is_text, value))


def is_task(value: Any, file: Shared) -> bool:
    """An index of an evaluation task, or a vector."""
    if type(value) is list:
        return bool(value) and are_numbers(value, gaps=False)
    return is_whole(value) and value < file.lengths.get("C", _MOST)


def are_surely_tasks(values: list[Any], file: Shared) -> bool:
    """Whether these are tasks, all of them indices or all vectors, in no batch."""
    if file.batch > 1:
        return False
    if values and type(values[0]) is list:
        return are(list, values) and all(values) and are_surely_numbers(values, file)
    return _are_surely_whole(values, file.lengths.get("C", _MOST))


def of_batch(kind: Kind) -> Kind:
    """A value, or with a batch of several a list of one for each."""

    def holds(value: Any, file: Shared) -> bool:
        if file.batch == 1:
            return kind.holds(value, file)
        return (
            type(value) is list
            and len(value) == file.batch
            and all(kind.holds(one, file) for one in value)
        )

    return Kind(
        f"{kind.words} (with a batch of several, a list of one for each)",
        holds,
        lambda values, file: file.batch == 1 and kind.surely(values, file),
    )


def is_text(value: Any) -> bool:
    """Whether a value is a string that can be printed: no half of a surrogate pair."""
    return type(value) is str and value.encode(errors="replace").decode() == value


TEXT = Kind("a string", lambda value, _: is_text(value))
NUMBER = Kind(
    "a finite number",
    lambda value, _: is_number(value),
    lambda values, file: are_surely_numbers([values], file),
)
WHOLE = Kind(
    "a whole number from 0 on",
    lambda value, _: is_whole(value),
    lambda values, _: _are_surely_whole(values, _MOST),
)
COUNT = Kind("a whole number from 1 on", lambda value, _: is_whole(value) and value > 0)
COUNTS = Kind(
    "a whole number from 0 on for each of the C tasks",
    lambda value, file: (
        type(value) is list and all(map(is_whole, value)) and file.fit([value], "C")
    ),
    lambda values, file: (
        are(list, values)
        and file.fit(values, "C")
        and _are_surely_whole([*chain.from_iterable(values)], _MOST)
    ),
)
OBJECT = Kind(
    f"an object, nested at most {_MOST_LEVELS} deep",
    lambda value, _: type(value) is dict and _is_shallow(value),
)
PER_TASK = array("a finite number for each of the C tasks", "C")
