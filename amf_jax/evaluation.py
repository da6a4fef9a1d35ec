"""Acting with a policy, and what evaluations make of it, on the host."""

import itertools
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from amf_jax import encoders, errors, problem, validation
from amf_jax.acting import Actor, receding_horizon
from amf_jax.encoders import Encoder
from amf_jax.learners import Learner, LearnerState

_encode = jax.jit(encoders.encode)


def jitted(learner: Learner) -> Actor:
    """How the policy of a learner acts in episodes, compiled once.

    Conditions are the learner's state, task vectors `[B, D]` and task ids `[B]`.
    """

    def act(key, observations, state, tasks, task_ids):
        return learner.act(state, key, observations, tasks, task_ids)

    return Actor(*map(jax.jit, receding_horizon(act, learner.window)))


class Act:
    """A policy as NumPy sees it, with a new key for every call.

    Called with observations, whose leaves lead with B, and ids of evaluation tasks
    `[B]`, it returns actions `[B, A]`. A policy that sees several steps or plans
    several takes successive calls for those of the same B episodes, which begin with
    the first call, or the one after `reset`.

    Args:
      actor: from `jitted`.
      key: from which those of the calls are derived.
      state: of the learner.
      tasks: evaluation tasks.
      encoder: of observations, or None.
    """

    def __init__(
        self,
        actor: Actor,
        key: Array,
        state: LearnerState,
        tasks: Float[Array, "C D"],
        encoder: Encoder | None = None,
    ):
        self._actor, self._key, self._state = actor, key, state
        self._tasks, self._encoder = tasks, encoder
        self._calls = itertools.count()
        self._episodes: Any = None
        self._size = 0

    def __call__(self, observations: Any, task_ids: Any) -> np.ndarray:
        validation.check_task_ids(task_ids, self._tasks.shape[0])
        ids = jnp.asarray(task_ids)
        key = jax.random.fold_in(self._key, next(self._calls))
        tasks = self._tasks[ids]
        if self._encoder is not None:  # once, whatever the actor makes of it
            observations = _encode(self._encoder, observations, tasks)
        inputs = observations, self._state, tasks, ids
        if self._episodes is None:
            self._episodes, self._size = self._actor.reset(key, *inputs), ids.size
        if self._episodes != () and ids.size != self._size:
            raise errors.InvalidArgumentError(
                f"act was called for {self._size} episodes and now for {ids.size};"
                " call act.reset() where other episodes begin"
            )
        actions, self._episodes = self._actor.step(self._episodes, key, *inputs)
        return np.asarray(actions)

    def reset(self) -> None:
        """The next call is the first one of other episodes."""
        self._episodes = None


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
