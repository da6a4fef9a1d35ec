"""The record of a round: what happened, as values that JSON can hold."""

import math
import os
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from amf_jax import errors
from amf_jax.demonstrations import Demonstrations
from amf_jax.mixing import check_alpha
from amf_jax.selectors.base import diagnostics

Record = dict[str, Any]

#: Fields that an evaluation fills; it may add others, but not overwrite the rest.
EVALUATED = ("success", "mean_success", "return", "entropy")


def round_record(
    index: int,
    asked: Sequence[int | np.ndarray],
    demos: Demonstrations,
    num_tasks: int,
    mixing: Any | None,
    infos: Any,
    metrics: Mapping[str, Any],
    seconds: Mapping[str, float | None],
    *,
    training: Mapping[str, Any] | None = None,
    delivered: Sequence[Mapping[str, Any]] | None = None,
) -> Record:
    """One record; what a round does not have is None.

    Args:
      index: of the round; 0 is before any fine-tuning.
      asked: tasks that were demonstrated, as indices or vectors. With one alone, `task`
        and `scores` are its own; with several, lists of each one's.
      demos: at hand after the round.
      num_tasks: C, the number of evaluation tasks.
      mixing: alpha per task, or None without an adaptive prior.
      infos: diagnostics of the selections, in the same order; the fields `scores`,
        `importance_weights` and `effective_sample_size` are kept where they exist.
      metrics: of the evaluation; they fill or extend the fields.
      seconds: spent on selecting, fine-tuning and evaluating.
      training: metrics of the learner; of those by step, the mean of the last tenth.
      delivered: what came, where it is not what was asked for.

    Raises:
      TrainingError: a mixing weight is not finite.
      InvalidArgumentError: a metric has the name of another field, or no JSON form.
    """
    check_alpha(mixing)
    held = np.asarray(demos.demo_mask, bool)
    ids = np.asarray(demos.task_ids)[held]
    # Cut on the host: on the device every width would be another compilation.
    told = diagnostics(infos)
    scores, weights, sizes = (
        None if (value := getattr(told, name, None)) is None else np.asarray(value)
        for name in ("scores", "importance_weights", "effective_sample_size")
    )
    tasks = [task.tolist() if isinstance(task, np.ndarray) else task for task in asked]
    if scores is not None and len(tasks) == 1:
        scores = scores[0]
    record = {
        "round": index,
        "task": tasks if len(tasks) > 1 else next(iter(tasks), None),
        **dict.fromkeys(EVALUATED),
        "demos_per_task": np.bincount(ids[ids >= 0], minlength=num_tasks).tolist(),
        "mixing": _numbers(mixing),
        "scores": _numbers(scores),
        "ess": _numbers(None if sizes is None else sizes[0]),
        "importance_weights": _numbers(
            None if weights is None else weights[0, :, : held.sum()]
        ),
        "training": {name: _latest(value) for name, value in (training or {}).items()},
        "seconds": dict(seconds),
        "delivered": delivered,
    }
    if taken := metrics.keys() & (record.keys() - set(EVALUATED)):
        raise errors.InvalidArgumentError(
            f"evaluate returned {min(taken)!r}, which is a field of the round itself;"
            " give the metric another name"
        )
    if delivered is None:
        del record["delivered"]
    return record | plain(metrics, "evaluate's")


def _latest(values: Any) -> float | None:
    """The mean of the last tenth; None where it is not finite."""
    values = np.ravel(values)
    latest = values[-max(1, values.size // 10) :]
    return next(iter(_numbers([latest.mean()]) or ()), None) if latest.size else None


def plain(
    value: Any, where: str, not_finite: Callable[[float], Any] = lambda number: None
) -> Any:
    """Turns what is nested of arrays and scalars into what JSON holds.

    Args:
      value: nested mappings and sequences of arrays, scalars, strings and None.
      where: name of the value, for the error message.
      not_finite: what NaN and infinity become, since JSON has no such numbers.

    Returns:
      The same structure of dict, list, str, int, float, bool and None.

    Raises:
      InvalidArgumentError: for a value that JSON cannot hold, naming its field.

    Example:
      >>> plain({"success": np.array([0.5, np.nan]), "task": np.int32(2)}, "record")
      {'success': [0.5, None], 'task': 2}
    """
    try:
        return _plain(value, where, not_finite)
    except RecursionError:
        raise errors.InvalidArgumentError(
            f"{where} holds itself, or is nested too deeply for a record"
        ) from None


def _plain(value: Any, where: str, not_finite: Callable[[float], Any]) -> Any:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        if abs(value) > sys.float_info.max:  # which other readers take for infinity
            raise errors.InvalidArgumentError(
                f"{where} is a number of {value.bit_length()} bits, which a record"
                " cannot hold; give it as a string"
            )
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else not_finite(value)
    if hasattr(value, "items"):  # ml_collections configs are no Mappings
        fields: dict[str, Any] = {}
        for key, inner in value.items():
            if str(key) in fields:
                raise errors.InvalidArgumentError(
                    f"{where} has two fields of the name {str(key)!r}; rename one"
                )
            fields[str(key)] = _plain(inner, f"{where}.{key}", not_finite)
        return fields
    if isinstance(value, list | tuple | set | frozenset):
        items = _ordered(value, where) if isinstance(value, set | frozenset) else value
        return [_plain(v, f"{where}[{i}]", not_finite) for i, v in enumerate(items)]
    if isinstance(value, os.PathLike):
        return _plain(os.fspath(value), where, not_finite)
    if hasattr(value, "__array__") and not _is_key(value):
        return _plain(np.asarray(value).tolist(), where, not_finite)
    raise errors.InvalidArgumentError(
        f"{where} is a {type(value).__name__}, which a record cannot hold; give"
        " numbers, strings, arrays, or nested dicts and lists of them"
    )


def _ordered(values: Collection[Any], where: str) -> list[Any]:
    try:
        return sorted(values)
    except TypeError:
        raise errors.InvalidArgumentError(
            f"{where} is a set of what has no order; give a list"
        ) from None


def _is_key(array: Any) -> bool:
    dtype = getattr(array, "dtype", None)
    return dtype is not None and jax.dtypes.issubdtype(dtype, jax.dtypes.prng_key)


def success_by_round(
    records: Sequence[Record], rounds: int, num_tasks: int
) -> np.ndarray:
    """Success of each task after each round `[rounds + 1, C]`, NaN where unknown."""
    success = np.full((rounds + 1, num_tasks), np.nan)
    for record in records:
        if record["success"] is not None:
            success[record["round"]] = np.asarray(record["success"], float)
    return success


def _numbers(values: Any | None) -> list | None:
    """Nested lists, or None for the NaN by which a selector says that it has none.

    Numbers keep the digits of their own precision: a float32 that is widened first is
    twice as long in a file and says no more.
    """
    if values is None or not np.isfinite(values).all():
        return None
    return np.asarray(values).astype(str).astype(float).tolist()
