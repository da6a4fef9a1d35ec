"""What result files hold, field by field: types and shapes, checked as a file is read.

Fields that are not listed here may hold anything. NaN and infinity are no numbers.
"""

import dataclasses
import math
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
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


def _or_null(kind: Kind) -> Kind:
    return Kind(
        f"{kind.words}, or null",
        lambda value, file: value is None or kind.holds(value, file),
        lambda values, file: kind.surely([v for v in values if v is not None], file),
    )


def is_number(value: Any) -> bool:
    """Whether a value of a file is one finite number; `true` is none."""
    return type(value) in (int, float) and abs(value) <= _LARGEST


def _is_whole(value: Any) -> bool:
    return type(value) is int and 0 <= value < _MOST


def _are_numbers(values: Iterable[Any], gaps: bool) -> bool:
    return all(is_number(v) or (gaps and v is None) for v in values)


def _are_surely_numbers(rows: Iterable[Iterable[Any]], file: Shared) -> bool:
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


def _are(kind: type, values: Iterable[Any]) -> bool:
    return {*map(type, values)} <= {kind}


def _array(words: str, *shape: str | int, gaps: bool = True) -> Kind:
    """Numbers in a list, or in lists of one length.

    Args:
      words: of the kind.
      *shape: lengths, or names of some that stay the same throughout a file; "" is any
        length.
      gaps: whether null may stand for a number.
    """

    def rows(values: list[Any], file: Shared) -> list[list[Any]] | None:
        """The lists of numbers in values of that shape."""
        if not (_are(list, values) and file.fit(values, shape[0])):
            return None
        if len(shape) == 1:
            return values
        inner = [*chain.from_iterable(values)]
        if not _are(list, inner) or any([len({*map(len, v)}) > 1 for v in values]):
            return None
        return inner if file.fit(inner, shape[1]) else None

    def holds(value: Any, file: Shared) -> bool:
        found = rows([value], file)
        return found is not None and all(_are_numbers(row, gaps) for row in found)

    def surely(values: list[Any], file: Shared) -> bool:
        found = rows(values, file)
        return found is not None and _are_surely_numbers(found, file)

    return Kind(words, holds, surely)


def _is_shallow(value: Any, levels: int = _MOST_LEVELS) -> bool:
    inside = value.values() if type(value) is dict else value
    return type(value) not in (dict, list) or (
        levels > 0 and all(_is_shallow(part, levels - 1) for part in inside)
    )


def _objects(value: Any) -> bool:
    return type(value) is list and all(
        type(v) is dict and _is_shallow(v) for v in value
    )


def _texts(value: Any) -> bool:
    return type(value) is list and all(map(_is_text, value))


def _is_task(value: Any, file: Shared) -> bool:
    """An index of an evaluation task, or a vector."""
    if type(value) is list:
        return bool(value) and _are_numbers(value, gaps=False)
    return _is_whole(value) and value < file.lengths.get("C", _MOST)


def _are_surely_tasks(values: list[Any], file: Shared) -> bool:
    if file.batch > 1:
        return False
    if values and type(values[0]) is list:
        return _are(list, values) and all(values) and _are_surely_numbers(values, file)
    return _are_surely_whole(values, file.lengths.get("C", _MOST))


def _of_batch(kind: Kind) -> Kind:
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


def _is_text(value: Any) -> bool:
    """Whether a value is a string that can be printed: no half of a surrogate pair."""
    return type(value) is str and value.encode(errors="replace").decode() == value


TEXT = Kind("a string", lambda value, _: _is_text(value))
NUMBER = Kind(
    "a finite number",
    lambda value, _: is_number(value),
    lambda values, file: _are_surely_numbers([values], file),
)
WHOLE = Kind(
    "a whole number from 0 on",
    lambda value, _: _is_whole(value),
    lambda values, _: _are_surely_whole(values, _MOST),
)
COUNT = Kind(
    "a whole number from 1 on", lambda value, _: _is_whole(value) and value > 0
)
COUNTS = Kind(
    "a whole number from 0 on for each of the C tasks",
    lambda value, file: (
        type(value) is list and all(map(_is_whole, value)) and file.fit([value], "C")
    ),
    lambda values, file: (
        _are(list, values)
        and file.fit(values, "C")
        and _are_surely_whole([*chain.from_iterable(values)], _MOST)
    ),
)
OBJECT = Kind(
    f"an object, nested at most {_MOST_LEVELS} deep",
    lambda value, _: type(value) is dict and _is_shallow(value),
)
_PER_TASK = _array("a finite number for each of the C tasks", "C")

#: Of the first line. The latter two are younger than some files.
HEADER: Mapping[str, Kind] = {
    "config": OBJECT,
    "versions": Kind(
        "an object of strings",
        lambda value, _: type(value) is dict and _texts([*value.values()]),
    ),
    "seed": WHOLE,
    "method": OBJECT,
    "sessions": Kind("a list of objects", lambda value, _: _objects(value)),
}

#: Fields of a config that tables and figures look at.
CONFIG: Mapping[str, Kind] = {
    "suite": TEXT,
    "setting": Kind(
        "a string or a whole number",
        lambda value, _: _is_text(value) or _is_whole(value),
    ),
    "method": TEXT,
    "preset": _or_null(TEXT),
    "rounds": WHOLE,
    "attempts": WHOLE,
    "batch": COUNT,
    "demos_per_round": COUNT,
    "warm_start_rounds": WHOLE,
    "task_names": Kind(
        "a list of C strings",
        lambda value, file: _texts(value) and bool(value) and file.fit([value], "C"),
    ),
    "allocation": COUNTS,
}

#: The record of one round of a run, but for its number.
ROUND: Mapping[str, Kind] = {
    "success": _or_null(_PER_TASK),
    "mean_success": _or_null(NUMBER),
    "return": _or_null(NUMBER),
    "entropy": _or_null(NUMBER),
    "demos_per_task": COUNTS,
    "mixing": _or_null(_PER_TASK),
    "scores": _or_null(_of_batch(_array("a list of finite numbers", ""))),
    "ess": _or_null(_PER_TASK),
    "importance_weights": _or_null(
        _array("C lists of finite numbers, all of one length", "C", "")
    ),
    "seconds": Kind(
        "an object of finite numbers",
        lambda value, _: type(value) is dict and _are_numbers(value.values(), True),
        lambda values, file: (
            _are(dict, values)
            and _are_surely_numbers([value.values() for value in values], file)
        ),
    ),
}

#: What only rounds after the first have: round 0 asks for nothing.
ASKED: Mapping[str, Kind] = {
    "task": _of_batch(
        Kind(
            "the index of one of the C tasks, or a task vector",
            _is_task,
            _are_surely_tasks,
        )
    ),
}

_ANGLES = _array("a list of A angles", "A", gaps=False)

#: The records of studies, which have all of these fields.
STUDIES: Mapping[str, Mapping[str, Kind]] = {
    "figure3": {
        "kind": TEXT,
        "round": WHOLE,
        "task": _array("two numbers", 2, gaps=False),
        "states": _array("a list of points, two numbers each", "", 2),
    },
    "figure19": {
        "round": WHOLE,
        "angles": _ANGLES,
        "demo_angles": _array("a list of D angles", "D", gaps=False),
        "weights": _array("D lists of A numbers", "D", "A"),
    },
    "figure21": {
        "angles": _ANGLES,
        "criterion": _array("a list of A numbers", "A"),
        "return": _array("a list of A numbers", "A"),
        "pretraining_angles": _array("a list of angles", "", gaps=False),
    },
    "bound": {
        "round": COUNT,
        "gap": NUMBER,
        "gap_at_rest": NUMBER,
        "bound": NUMBER,
        "bound_given_gain": NUMBER,
        "bound_given_deviation": NUMBER,
        "round_gain": NUMBER,
        "round_gain_bound": NUMBER,
    },
    "search": {
        "round": WHOLE,
        "search": TEXT,
        "evaluations": COUNT,
        "shortfall": _array("a list of numbers", ""),
        "seconds": NUMBER,
    },
}


class Fault(NamedTuple):
    """What is wrong with a file.

    Attributes:
      line: where; the header is on line 1.
      words: behind the name of the line.
    """

    line: int
    words: str


def first_fault(
    objects: Sequence[dict[str, Any]], study: str | None, booleans: bool
) -> Fault | None:
    """What is wrong with a file, if anything.

    Args:
      objects: its header and records.
      study: its name; None for the records of a run, one per round. Those of a study
        that is not listed may hold anything.
      booleans: whether `true` or `false` may be somewhere in the records.
    """
    header, records = objects[0], objects[1:]
    if not {"config", "seed"} <= header.keys():
        return Fault(1, "is no header with config, versions and seed")
    file = Shared(booleans)
    fault = _fault([header], HEADER, file, 1)
    fault = fault or _fault([header["config"]], CONFIG, file, 1, "config.")
    if fault is not None:
        return fault
    file.batch = header["config"].get("batch", file.batch)
    if study is not None:
        return _fault(records, STUDIES.get(study, {}), file, 2, required=True)
    for number, given in enumerate([record.get("round") for record in records]):
        if given != number or type(given) is not int:
            got = reprlib.repr(given)
            words = f"must be of round {number}, the next in order, got round {got}"
            return Fault(number + 2, words)
    return _fault(records, ROUND, file, 2) or _fault(records[1:], ASKED, file, 3)


def _fault(
    objects: Sequence[dict[str, Any]],
    fields: Mapping[str, Kind],
    file: Shared,
    line: int,
    prefix: str = "",
    required: bool = False,
) -> Fault | None:
    """The first field that holds something else, of objects from some line on."""
    for name, kind in fields.items():
        values = [one[name] for one in objects if name in one]
        if not (required and len(values) < len(objects)) and kind.surely(values, file):
            continue
        for number, one in enumerate(objects, start=line):
            if name not in one and required:
                return Fault(number, f"has no {prefix}{name}")
            if name in one and not kind.holds(one[name], file):
                tasks = f" (C is {file.lengths['C']})" if "C" in file.lengths else ""
                got = reprlib.repr(one[name])
                words = f"has {prefix}{name} = {got}; it must be {kind.words}{tasks}"
                return Fault(number, words)
    return None
