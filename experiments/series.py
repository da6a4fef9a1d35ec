"""Fields of runs as arrays: what tables, figures and the report are made of."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from amf_jax.errors import ResultsError
from experiments.reading import Run
from experiments.runs import ResultsWarning, finished, name_of, warn_if_incomparable


def asked(run: Run, first: int = 1, last: int | None = None) -> list[Any]:
    """The tasks asked for in rounds `first` to `last - 1`, in order of choosing."""
    tasks = [record["task"] for record in run.records[first:last]]
    return tasks if run.batch == 1 else [task for batch in tasks for task in batch]


def asked_indices(
    runs: Sequence[Run], first: int = 1, last: int | None = None
) -> np.ndarray:
    """As `asked`, `[seeds, choices]`, of runs that ask for evaluation tasks alone.

    Raises:
      ResultsError: a run asked for another task, or for fewer than another run.
    """
    found = [asked(run, first, last) for run in runs]
    if not all(isinstance(task, int) for tasks in found for task in tasks):
        raise ResultsError(
            f"{name_of(runs)} asks for tasks that are no evaluation tasks; their"
            " indices are needed here"
        )
    if len({*map(len, found)}) > 1:
        raise ResultsError(f"{name_of(runs)}: the runs are of different length")
    return np.array(found, dtype=int)


def values(runs: Sequence[Run], field: str) -> np.ndarray:
    """One field of the records of several runs as numbers.

    Args:
      runs: runs of one suite, setting and method.
      field: name of the field in each record: a number, or a list of C numbers.

    Returns:
      `[seeds, rounds]` or `[seeds, rounds, C]`, up to the last round that all runs
      have. NaN where the file says null; a field that is null throughout is
      `[seeds, rounds]`.

    Raises:
      ResultsError: if the field holds no numbers, or lists of different length.
    """
    rounds = min(len(run.records) for run in runs)
    cells = [[record.get(field) for record in run.records[:rounds]] for run in runs]
    width = next((len(c) for row in cells for c in row if isinstance(c, list)), None)
    missing = None if width is None else [None] * width
    filled = [[missing if c is None else c for c in row] for row in cells]
    try:
        return np.array(filled, dtype=float)  # NumPy reads None as NaN
    except (TypeError, ValueError) as error:
        raise ResultsError(
            f"{name_of(runs)}: {field} must be a number in every record, or a list of"
            f" equally many ({error})"
        ) from error


def per_task(runs: Sequence[Run], field: str, tasks: int) -> np.ndarray:
    """As `values`, `[seeds, rounds, C]` also of a field that is null throughout.

    Raises:
      ResultsError: if the field is not a list of `tasks` numbers.
    """
    array = values(runs, field)
    if np.isnan(array).all():
        return np.full((*array.shape[:2], tasks), np.nan)
    if array.ndim != 3 or array.shape[2] != tasks:
        raise ResultsError(
            f"{name_of(runs)}: {field} must be a list of {tasks} numbers, one per task"
        )
    return array


def score(runs: Sequence[Run]) -> str:
    """The field that tells how good a policy is: success, or the return without one."""
    successes = values(runs, "mean_success")
    return "return" if np.isnan(successes).all() else "mean_success"


def side_by_side(
    runs: Mapping[str, Sequence[Run]],
) -> tuple[dict[str, list[Run]], str, dict[str, np.ndarray]]:
    """What a comparison of methods looks at, with a warning where it is not fair.

    Args:
      runs: runs of one suite and setting by method, at least one each.

    Returns:
      The finished runs of each method, the field that is their score, and its curves
      `[seeds, rounds]` by method.

    Raises:
      ResultsError: if there is nothing to compare.
    """
    if not runs or not all(runs.values()):
        raise ResultsError("runs holds no results to compare; give a run per method")
    warn_if_incomparable(runs)
    groups = {method: finished(group) for method, group in runs.items()}
    if not all(groups.values()):
        raise ResultsError("runs holds runs that have not begun; give those that have")
    field = score(next(iter(groups.values())))
    curves = {method: values(group, field) for method, group in groups.items()}
    for method, curve in curves.items():
        warn_of_gaps(method, field, curve)
    return groups, field, curves


def warn_of_gaps(name: str, field: str, curve: np.ndarray) -> None:
    """Warns where a curve `[seeds, rounds]` has gaps; some have no number at all.

    What is computed from such rounds is undefined, and shown as a dash.
    """
    gaps = np.isnan(curve)
    if gaps.any() and not gaps.all():
        rounds = np.flatnonzero(gaps.any(axis=0))
        warnings.warn(
            f"{name}: {field} is null in rounds {', '.join(map(str, rounds))}; what"
            " depends on these is undefined and left out",
            ResultsWarning,
            stacklevel=3,
        )
