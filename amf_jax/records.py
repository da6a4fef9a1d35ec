"""The record of a round: what happened, as values that JSON can hold."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from amf_jax.demonstrations import Demonstrations
from amf_jax.selectors.base import SelectorInfo

Record = dict[str, Any]


def round_record(
    index: int,
    asked: Sequence[int | np.ndarray],
    demos: Demonstrations,
    num_tasks: int,
    mixing: Any | None,
    infos: SelectorInfo | None,
    metrics: Mapping[str, Any],
    seconds: Mapping[str, float | None],
) -> Record:
    """One record; what a round does not have is None.

    Args:
      index: of the round; 0 is before any fine-tuning.
      asked: tasks that were demonstrated, as indices or vectors. With one alone, `task`
        and `scores` are its own; with several, lists of each one's.
      demos: at hand after the round.
      num_tasks: C, the number of evaluation tasks.
      mixing: alpha per task, or None without an adaptive prior.
      infos: diagnostics of the selections, in the same order.
      metrics: of the evaluation; they fill or extend the fields.
      seconds: spent on selecting, fine-tuning and evaluating.
    """
    held = np.asarray(demos.demo_mask)
    ids = np.asarray(demos.task_ids)[held]
    # Cut on the host: on the device every width would be another compilation.
    weights = infos and np.asarray(infos.importance_weights)[0, :, : held.sum()]
    tasks = [task.tolist() if isinstance(task, np.ndarray) else task for task in asked]
    scores = infos and (infos.scores if len(tasks) > 1 else infos.scores[0])
    record = {
        "round": index,
        "task": tasks if len(tasks) > 1 else next(iter(tasks), None),
        "success": None,
        "mean_success": None,
        "return": None,
        "entropy": None,
        "demos_per_task": np.bincount(ids[ids >= 0], minlength=num_tasks).tolist(),
        "mixing": _plain(mixing),
        "scores": _plain(scores),
        "ess": _plain(infos and infos.effective_sample_size[0]),
        "importance_weights": _plain(weights),
        "seconds": dict(seconds),
    }
    return record | dict(metrics)


def success_by_round(
    records: Sequence[Record], rounds: int, num_tasks: int
) -> np.ndarray:
    """Success of each task after each round `[rounds + 1, C]`, NaN where unknown."""
    success = np.full((rounds + 1, num_tasks), np.nan)
    for record in records:
        if record["success"] is not None:
            success[record["round"]] = record["success"]
    return success


def _plain(values: Any | None) -> list | None:
    """Nested lists, or None for the NaN by which a selector says that it has none.

    Numbers keep the digits of their own precision: a float32 that is widened first is
    twice as long in a file and says no more.
    """
    if values is None or not np.isfinite(values).all():
        return None
    return np.asarray(values).astype(str).astype(float).tolist()
