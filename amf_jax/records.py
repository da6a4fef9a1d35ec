"""The record of a round: what happened, as values that JSON can hold."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from amf_jax.demonstrations import Demonstrations
from amf_jax.selectors.base import SelectorInfo

Record = dict[str, Any]


def round_record(
    index: int,
    task: int | np.ndarray | None,
    demos: Demonstrations,
    num_tasks: int,
    mixing: Any | None,
    info: SelectorInfo | None,
    metrics: Mapping[str, Any],
    seconds: Mapping[str, float],
) -> Record:
    """One record; what a round does not have is None.

    Args:
      index: of the round; 0 is before any fine-tuning.
      task: that was demonstrated, as an index or a vector.
      demos: at hand after the round.
      num_tasks: C, the number of evaluation tasks.
      mixing: alpha per task, or None without an adaptive prior.
      info: diagnostics of the selection.
      metrics: of the evaluation; they fill or extend the fields.
      seconds: spent on selecting, fine-tuning and evaluating.
    """
    held = np.asarray(demos.demo_mask)
    ids = np.asarray(demos.task_ids)[held]
    # Cut on the host: on the device every width would be another compilation.
    weights = info and np.asarray(info.importance_weights)[:, : held.sum()]
    record = {
        "round": index,
        "task": task.tolist() if isinstance(task, np.ndarray) else task,
        "success": None,
        "mean_success": None,
        "return": None,
        "entropy": None,
        "demos_per_task": np.bincount(ids[ids >= 0], minlength=num_tasks).tolist(),
        "mixing": _plain(mixing),
        "scores": _plain(info and info.scores),
        "ess": _plain(info and info.effective_sample_size),
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
