"""The record of a round: what happened, as values that JSON can hold."""

from collections.abc import Mapping
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
    ids = np.asarray(demos.task_ids)[np.asarray(demos.demo_mask)]
    record = {
        "round": index,
        "task": task.tolist() if isinstance(task, np.ndarray) else task,
        "success": None,
        "mean_success": None,
        "return": None,
        "entropy": None,
        "demos_per_task": np.bincount(ids[ids >= 0], minlength=num_tasks).tolist(),
        "mixing": None if mixing is None else np.asarray(mixing).tolist(),
        "scores": _finite_or_none(info and info.scores),
        "ess": _finite_or_none(info and info.effective_sample_size),
        "importance_weights": _finite_or_none(info and info.importance_weights),
        "seconds": dict(seconds),
    }
    return record | dict(metrics)


def _finite_or_none(values: Any) -> list | None:
    """A selector that computes no diagnostics says so by NaN."""
    if values is None or not np.isfinite(values).all():
        return None
    return np.asarray(values).tolist()
