"""Acting with a policy, and what evaluations make of it, on the host."""

import itertools
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from amf_jax import encoders, errors, problem, task_table
from amf_jax.acting import Actor, receding_horizon
from amf_jax.encoders import Encoder
from amf_jax.learners import Learner, LearnerState
from amf_jax.windows import STEP, Window

_encode = jax.jit(encoders.encode)


def actor(learner: Learner) -> Actor:
    """How the policy of a learner acts in episodes.

    Conditions are the learner's state, task vectors `[B, D]` and task ids `[B]`.
    """

    def act(key, observations, state, tasks, task_ids):
        return learner.act(state, key, observations, tasks, task_ids)

    return receding_horizon(act, learner.window)


def jitted(learner: Learner) -> Actor:
    """The same, compiled once."""
    return Actor(*map(jax.jit, actor(learner)))


class TracedAct(NamedTuple):
    """A policy as a traced evaluation sees it.

    Called, it acts at a single step. In episodes of a policy of any window:

        held = act.reset(0, observations, task_ids)
        actions, held = act.step(held, call, observations, task_ids)  # and again

    Attributes:
      reset: `(call, observations [B, ...], task_ids [B]) -> held`, where episodes
        begin.
      step: `(held, call, observations, task_ids) -> (actions [B, A], held)`, at every
        step, the first one included.
      window: of the policy.
    """

    reset: Callable[..., Any]
    step: Callable[..., tuple[Array, Any]]
    window: Window

    def __call__(self, call: Any, observations: Any, task_ids: Any) -> Array:
        """Actions `[B, A]`; `call` is the number of the call, for its random key.

        Raises:
          InvalidArgumentError: the policy sees or plans several steps.
        """
        if self.window != STEP:
            raise errors.InvalidArgumentError(
                f"act takes single steps, and the policy has {self.window}; begin"
                " episodes by held = act.reset(call, observations, task_ids), and take"
                " steps by actions, held = act.step(held, call, observations, task_ids)"
                " (acting.receding_horizon)"
            )
        return self.step((), call, observations, task_ids)[0]


class Act:
    """A policy as NumPy sees it, with a new key for every call.

    Called with observations, whose leaves lead with B, and ids of evaluation tasks
    `[B]`, it returns actions `[B, A]`. A policy that sees several steps or plans
    several takes successive calls for those of the same B episodes, which begin with
    the first call, or the one after `reset`; it refuses other task ids in between.

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
        self._ids = np.empty(0, int)

    def __call__(self, observations: Any, task_ids: Any) -> np.ndarray:
        task_table.check_ids(task_ids, self._tasks.shape[0])
        ids = jnp.asarray(task_ids)
        key = jax.random.fold_in(self._key, next(self._calls))
        tasks = self._tasks[ids]
        if self._encoder is not None:  # once, whatever the actor makes of it
            observations = _encode(self._encoder, observations, tasks)
        inputs = observations, self._state, tasks, ids
        if self._episodes is None:
            self._episodes = self._actor.reset(key, *inputs)
            self._ids = np.array(task_ids)
        if self._episodes != () and not np.array_equal(self._ids, task_ids):
            self._refuse(np.array(task_ids))
        actions, self._episodes = self._actor.step(self._episodes, key, *inputs)
        return np.asarray(actions)

    def reset(self) -> None:
        """The next call is the first one of other episodes."""
        self._episodes = None

    def _refuse(self, ids: np.ndarray) -> None:
        if ids.shape != self._ids.shape:
            change = f"{self._ids.size} episodes and now for {ids.size}"
        else:
            place = np.flatnonzero(ids != self._ids)[0]
            tasks = f"task {self._ids[place]} and now for task {ids[place]}"
            change = f"{tasks} in episode {place}"
        raise errors.InvalidArgumentError(
            f"act was called for {change}, with a policy that sees or plans several"
            " steps; call act.reset() where other episodes begin"
        )


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
    check_metrics(metrics, num_tasks)
    return metrics, time.perf_counter() - started


def check_metrics(metrics: Any, num_tasks: int) -> None:
    """Raises `InvalidArgumentError` for what no evaluation returns; also traced."""
    if not isinstance(metrics, Mapping):
        raise errors.InvalidArgumentError(
            "evaluate must return metrics by name, as a mapping that may be empty; got"
            f" {metrics!r}"
        )
    problem.check_success(metrics.get("success"), num_tasks)
