"""Acting with a policy, and what evaluations make of it, on the host."""

import itertools
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from amf_jax import errors, problem, validation
from amf_jax.learners import LearnerState

#: Actions `[B, A]` for observations, whose leaves lead with B, and ids of evaluation
#: tasks `[B]`.
Act = Callable[[Any, Any], np.ndarray]


def actor(
    act: Callable[..., Array],
    key: Array,
    state: LearnerState,
    tasks: Float[Array, "C D"],
) -> Act:
    """A policy as NumPy sees it, with a new key for every call.

    Args:
      act: `Learner.act`, jitted.
      key: from which those of the calls are derived.
      state: of the learner.
      tasks: evaluation tasks.
    """
    calls = itertools.count()

    def actions(observations, task_ids) -> np.ndarray:
        validation.check_task_ids(task_ids, tasks.shape[0])
        ids = jnp.asarray(task_ids)
        call_key = jax.random.fold_in(key, next(calls))
        return np.asarray(act(state, call_key, observations, tasks[ids], ids))

    return actions


def measure(
    evaluate: Callable[..., Mapping[str, Any]] | None,
    act: Act,
    state: LearnerState,
    round_index: int,
    num_tasks: int,
) -> tuple[Mapping[str, Any], float]:
    """The metrics of an evaluation, and the seconds that it took.

    Raises:
      InvalidArgumentError: it did not return a mapping, or success that is not one
        number per task.
    """
    if evaluate is None:
        return {}, 0.0
    started = time.perf_counter()
    metrics = evaluate(act, state, round_index)
    if not isinstance(metrics, Mapping):
        raise errors.InvalidArgumentError(
            "evaluate must return metrics by name, as a mapping that may be empty; got"
            f" {metrics!r}"
        )
    problem.check_success(metrics.get("success"), num_tasks)
    return metrics, time.perf_counter() - started
