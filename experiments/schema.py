"""What result files hold, field by field, checked as a file is read.

Fields that are not listed here may hold anything.
"""

import reprlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from experiments import kinds
from experiments.kinds import Kind

#: Of the first line. The latter two are younger than some files.
HEADER: Mapping[str, Kind] = {
    "config": kinds.OBJECT,
    "versions": Kind(
        "an object of strings",
        lambda value, _: type(value) is dict and kinds.texts([*value.values()]),
    ),
    "seed": kinds.WHOLE,
    "method": kinds.OBJECT,
    "sessions": Kind("a list of objects", lambda value, _: kinds.objects(value)),
}

#: Fields of a config that tables and figures look at.
CONFIG: Mapping[str, Kind] = {
    "suite": kinds.TEXT,
    "setting": Kind(
        "a string or a whole number",
        lambda value, _: kinds.is_text(value) or kinds.is_whole(value),
    ),
    "method": kinds.TEXT,
    "seed": kinds.WHOLE,
    "preset": kinds.or_null(kinds.TEXT),
    "rounds": kinds.WHOLE,
    "attempts": kinds.WHOLE,
    "batch": kinds.COUNT,
    "demos_per_round": kinds.COUNT,
    "warm_start_rounds": kinds.WHOLE,
    "task_names": Kind(
        "a list of C strings",
        lambda value, file: (
            kinds.texts(value) and bool(value) and file.fit([value], "C")
        ),
    ),
    "allocation": kinds.COUNTS,
}

#: The record of one round of a run, but for its number.
ROUND: Mapping[str, Kind] = {
    "success": kinds.or_null(kinds.PER_TASK),
    "mean_success": kinds.or_null(kinds.NUMBER),
    "return": kinds.or_null(kinds.NUMBER),
    "entropy": kinds.or_null(kinds.NUMBER),
    "demos_per_task": kinds.COUNTS,
    "mixing": kinds.or_null(kinds.PER_TASK),
    "scores": kinds.or_null(
        kinds.of_batch(kinds.array("a list of finite numbers", ""))
    ),
    "ess": kinds.or_null(kinds.PER_TASK),
    "importance_weights": kinds.or_null(
        kinds.array("C lists of finite numbers, all of one length", "C", "")
    ),
    "seconds": Kind(
        "an object of finite numbers",
        lambda value, _: (
            type(value) is dict and kinds.are_numbers(value.values(), True)
        ),
        lambda values, file: (
            kinds.are(dict, values)
            and kinds.are_surely_numbers([value.values() for value in values], file)
        ),
    ),
}

#: What only rounds after the first have: round 0 asks for nothing.
ASKED: Mapping[str, Kind] = {
    "task": kinds.of_batch(
        Kind(
            "the index of one of the C tasks, or a task vector",
            kinds.is_task,
            kinds.are_surely_tasks,
        )
    ),
}

_ANGLES = kinds.array("a list of A angles", "A", gaps=False)

#: The records of studies, which have all of these fields.
STUDIES: Mapping[str, Mapping[str, Kind]] = {
    "figure3": {
        "kind": kinds.TEXT,
        "round": kinds.WHOLE,
        "task": kinds.array("two numbers", 2, gaps=False),
        "states": kinds.array("a list of points, two numbers each", "", 2),
    },
    "figure19": {
        "round": kinds.WHOLE,
        "angles": _ANGLES,
        "demo_angles": kinds.array("a list of D angles", "D", gaps=False),
        "weights": kinds.array("D lists of A numbers", "D", "A"),
    },
    "figure21": {
        "angles": _ANGLES,
        "criterion": kinds.array("a list of A numbers", "A"),
        "return": kinds.array("a list of A numbers", "A"),
        "pretraining_angles": kinds.array("a list of angles", "", gaps=False),
    },
    "bound": {
        "round": kinds.COUNT,
        "gap": kinds.NUMBER,
        "gap_at_rest": kinds.NUMBER,
        "bound": kinds.NUMBER,
        "bound_given_gain": kinds.NUMBER,
        "bound_given_deviation": kinds.NUMBER,
        "round_gain": kinds.NUMBER,
        "round_gain_bound": kinds.NUMBER,
    },
    "search": {
        "round": kinds.WHOLE,
        "search": kinds.TEXT,
        "evaluations": kinds.COUNT,
        "shortfall": kinds.array("a list of numbers", ""),
        "seconds": kinds.NUMBER,
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
    file = kinds.Shared(booleans)
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
    file: kinds.Shared,
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
