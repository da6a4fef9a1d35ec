"""The driver: the one stateful object, threading keys and states through rounds."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from amf_jax import demonstrations as demonstrations_lib
from amf_jax import errors, interrupt
from amf_jax.checkpoint import Checkpointer
from amf_jax.demonstrations import Demonstrations
from amf_jax.learners import Learner, LearnerState
from amf_jax.selectors.base import Context, Selector, check_choice

Record = dict[str, Any]


class ActiveFineTuner:
    """Select, demonstrate, fine-tune, evaluate, and again.

    Round 0 evaluates the pre-trained policy. Every random decision of round r comes
    from `fold_in(key(seed), r)`: a resumed run equals a straight one bit for bit.

    Args:
      learner: turns demonstrations into a policy.
      selector: decides what to demonstrate next.
      tasks: evaluation tasks `[C, D]`.
      task_weights: their probabilities mu_C; None is uniform.
      pretraining: demonstrations that `learner.init` pre-trains on; None for a learner
        that was given a pre-trained policy.
      demonstrate: `(task, round, count) -> Demonstrations` with `count` full rows, from
        the expert. `task` is an index, or a task vector if it is none of the evaluation
        tasks.
      evaluate: `(act, state, round) -> mapping` of JSON-able metrics, or None. `act`
        maps NumPy observations `[B, S]` and task ids `[B]` to actions `[B, A]`.
      rounds: the budget, in rounds.
      demos_per_round: demonstrations of the chosen task per round.
      seed: of every random decision.
      demos: an empty buffer to collect into, from `demonstrations.empty`, with room for
        the whole budget; None makes one of the shape of `pretraining`.
      history: demonstrations that the selector conditions on from the start.
      task_names: for messages.
      checkpoint_dir: where to keep the latest round; None keeps nothing.
      checkpoint_every: rounds between checkpoints; the last round always writes one.
      identity: JSON-able description of the run, checked when resuming.

    Raises:
      InvalidArgumentError: no task, no budget, or weights that are no distribution.
      DemonstrationError: pre-training demonstrations that do not fit the tasks.
    """

    def __init__(
        self,
        *,
        learner: Learner,
        selector: Selector,
        tasks: Any,
        demonstrate: Callable[[int | np.ndarray, int, int], Demonstrations],
        rounds: int,
        seed: int,
        pretraining: Demonstrations | None = None,
        demos: Demonstrations | None = None,
        task_weights: Any | None = None,
        evaluate: Callable[..., Mapping[str, Any]] | None = None,
        demos_per_round: int = 1,
        history: Demonstrations | None = None,
        task_names: Sequence[str] | None = None,
        checkpoint_dir: str | Path | None = None,
        checkpoint_every: int = 1,
        identity: Any = None,
    ):
        self.tasks = jnp.asarray(tasks)
        self.task_weights = _check_problem(
            self.tasks, task_weights, rounds, demos_per_round, checkpoint_every
        )
        self._demos_per_round = demos_per_round
        self._blank = _buffer(demos, pretraining, self.tasks, rounds * demos_per_round)
        self.demos = self._blank
        if pretraining is not None:
            self._validate(pretraining)
        self._learner, self._selector = learner, selector
        self._pretraining, self._history = pretraining, history
        self._demonstrate, self._evaluate = demonstrate, evaluate
        self._rounds = rounds
        self._key = jax.random.key(seed)
        self._task_names = None if task_names is None else tuple(task_names)
        self._checkpoint_every = checkpoint_every
        self._checkpointer = (
            None if checkpoint_dir is None else Checkpointer(checkpoint_dir, identity)
        )
        self._select = jax.jit(selector.select)
        self._update = jax.jit(learner.update)
        self._act = jax.jit(learner.act)

        self.records: list[Record] = []
        self.learner_state: LearnerState | None = None
        self.selector_state: Any = None

    def run(
        self,
        on_round: Callable[[Record], None] = lambda record: None,
        on_interrupt: Callable[[str], None] = print,
    ) -> list[Record]:
        """Runs the rounds that are left, resuming from the checkpoint if there is one.

        Ctrl-C finishes the round, then raises `Interrupted`; a second one acts at once.

        Args:
          on_round: called with each new record, after its checkpoint is written.
          on_interrupt: called with a message when Ctrl-C is pressed.

        Returns:
          The records of all rounds, including those of a resumed run's earlier part.

        Raises:
          SelectionError: if the selector could not rank the candidates.
          DemonstrationError: if the expert's demonstrations are malformed.
          CheckpointError: if the checkpoint is damaged or another run's.
          Interrupted: after Ctrl-C, once the round is safe.
        """
        with interrupt.deferred(on_interrupt) as stopping:
            if not self._restore():
                self._start()
                self._finish_round(on_round)
            while len(self.records) <= self._rounds:
                if stopping.is_set():
                    self._save()
                    raise errors.Interrupted(
                        f"stopped after round {len(self.records) - 1} of"
                        f" {self._rounds}; what was finished is kept"
                    )
                self._round(len(self.records))
                self._finish_round(on_round)
        return self.records

    def act(self, observations: np.ndarray, task_ids: np.ndarray) -> np.ndarray:
        """Actions of the current policy, adaptive prior included."""
        if self.learner_state is None:
            raise errors.InvalidArgumentError(
                "there is no policy yet: call run() first"
            )
        return self._actor(self._key)(observations, task_ids)

    def close(self) -> None:
        """Releases the checkpoint folder."""
        if self._checkpointer is not None:
            self._checkpointer.close()

    def _start(self) -> None:
        init_key, evaluate_key = jax.random.split(jax.random.fold_in(self._key, 0))
        self.demos = self._blank
        self.learner_state = jax.block_until_ready(
            jax.jit(self._learner.init)(init_key, self._pretraining)
        )
        self.selector_state = jax.jit(self._selector.init)(
            self._context(self.learner_state), self._history
        )
        metrics, seconds = self._measure(evaluate_key, 0)
        timing = {"select": 0.0, "finetune": 0.0, "evaluate": seconds}
        self.records = [self._record(0, None, None, metrics, timing)]

    def _round(self, index: int) -> None:
        assert self.learner_state is not None
        key = jax.random.fold_in(self._key, index)
        select_key, update_key, evaluate_key = jax.random.split(key, 3)

        started = time.perf_counter()
        choice, selector_state, info = jax.block_until_ready(
            self._select(
                select_key, self.selector_state, self._context(self.learner_state)
            )
        )
        selecting = time.perf_counter() - started
        check_choice(choice, info, self._task_names)
        task_id = int(choice.task_id)
        task = task_id if task_id >= 0 else np.asarray(choice.task)

        new = self._demonstrate(task, index, self._demos_per_round)
        self._check_new(new, task_id)
        demos = demonstrations_lib.append(self.demos, new)

        started = time.perf_counter()
        learner_state, _ = jax.block_until_ready(
            self._update(update_key, self.learner_state, demos)
        )
        finetuning = time.perf_counter() - started

        self.demos, self.learner_state = demos, learner_state
        self.selector_state = selector_state
        metrics, evaluating = self._measure(evaluate_key, index)
        timing = {
            "select": selecting,
            "finetune": finetuning,
            "evaluate": evaluating,
        }
        self.records.append(self._record(index, task, info, metrics, timing))

    def _finish_round(self, on_round) -> None:
        index = len(self.records) - 1
        if index % self._checkpoint_every == 0 or index == self._rounds:
            self._save()
        on_round(self.records[-1])

    def _save(self) -> None:
        index = len(self.records) - 1
        if self._checkpointer is None or self._checkpointer.latest_round() == index:
            return
        state = (self.demos, self.learner_state, self.selector_state)
        self._checkpointer.save(index, state, self.records)

    def _restore(self) -> bool:
        if self._checkpointer is None:
            return False
        if self._checkpointer.latest_round() is None:
            return False
        template = jax.eval_shape(self._initial_state)
        state, self.records = self._checkpointer.restore(template)
        self.demos, self.learner_state, self.selector_state = state
        return True

    def _initial_state(self):
        """Structure of the checkpointed state, for `jax.eval_shape`."""
        learner_state = self._learner.init(self._key, self._pretraining)
        selector_state = self._selector.init(
            self._context(learner_state), self._history
        )
        return self.demos, learner_state, selector_state

    def _context(self, state: LearnerState) -> Context:
        return Context(
            demos=self.demos,
            tasks=self.tasks,
            task_weights=self.task_weights,
            params=state.params,
            embedding_params=state.embedding_params,
        )

    def _validate(self, demos: Demonstrations) -> None:
        demonstrations_lib.validate(
            demos,
            observation_size=self.demos.observations.shape[2],
            action_size=self.demos.actions.shape[2],
            task_size=self.tasks.shape[1],
            num_tasks=self.tasks.shape[0],
        )

    def _check_new(self, new: Demonstrations, task_id: int) -> None:
        self._validate(new)
        steps, horizon = new.step_mask.shape[1], self.demos.step_mask.shape[1]
        if steps > horizon:
            raise errors.DemonstrationError(
                f"demonstrate returned demonstrations of {steps} steps; the buffer has"
                f" room for {horizon}: pass demos with a longer horizon"
            )
        rows = int(np.sum(np.asarray(new.demo_mask)))
        if rows != self._demos_per_round or rows != new.demo_mask.shape[0]:
            raise errors.DemonstrationError(
                f"demonstrate returned {rows} demonstrations in"
                f" {new.demo_mask.shape[0]} rows; it was asked for"
                f" {self._demos_per_round} full rows"
            )
        given = np.unique(np.asarray(new.task_ids))
        if (given != task_id).any():
            raise errors.DemonstrationError(
                f"demonstrate returned demonstrations of task {given.tolist()}; it was"
                f" asked for {task_id}"
            )

    def _measure(self, key, index: int) -> tuple[Mapping[str, Any], float]:
        if self._evaluate is None:
            return {}, 0.0
        started = time.perf_counter()
        metrics = self._evaluate(self._actor(key), self.learner_state, index)
        return metrics, time.perf_counter() - started

    def _actor(self, key):
        calls = iter(range(2**31))

        def act(observations, task_ids):
            ids = jnp.asarray(task_ids)
            call_key = jax.random.fold_in(key, next(calls))
            actions = self._act(
                self.learner_state, call_key, observations, self.tasks[ids], ids
            )
            return np.asarray(actions)

        return act

    def _record(self, index, task, info, metrics, seconds) -> Record:
        assert self.learner_state is not None
        held = np.asarray(self.demos.demo_mask)
        ids = np.asarray(self.demos.task_ids)[held]
        counts = np.bincount(ids[ids >= 0], minlength=self.tasks.shape[0])
        mixing = self.learner_state.mixing
        record = {
            "round": index,
            "task": task.tolist() if isinstance(task, np.ndarray) else task,
            "success": None,
            "mean_success": None,
            "return": None,
            "entropy": None,
            "demos_per_task": counts.tolist(),
            "mixing": None if mixing is None else np.asarray(mixing).tolist(),
            "scores": _finite_or_none(info and info.scores),
            "ess": _finite_or_none(info and info.effective_sample_size),
            "importance_weights": _finite_or_none(info and info.importance_weights),
            "seconds": seconds,
        }
        return record | dict(metrics)


def _finite_or_none(values) -> list | None:
    if values is None or not np.isfinite(values).all():
        return None
    return np.asarray(values).tolist()


def _buffer(demos, pretraining, tasks, budget: int) -> Demonstrations:
    """The buffer to collect into, with room for the whole budget."""
    if demos is None:
        if pretraining is None:
            raise errors.InvalidArgumentError(
                "demos must be given where pretraining is not: an empty buffer from"
                " demonstrations.empty, which says how wide states and actions are"
            )
        return demonstrations_lib.empty(
            budget,
            pretraining.step_mask.shape[1],
            pretraining.observations.shape[2],
            pretraining.actions.shape[2],
            tasks.shape[1],
            dtype=pretraining.observations.dtype,
        )
    demonstrations_lib.check_room(demos, budget)
    return demos


def _check_problem(tasks, task_weights, rounds, demos_per_round, checkpoint_every):
    """Validates the problem; returns the task weights as an array."""
    if tasks.ndim != 2 or tasks.shape[0] == 0:
        raise errors.InvalidArgumentError(
            f"tasks must hold at least one task vector, as [C, D]; got {tasks.shape}"
        )
    for name, value in (
        ("rounds", rounds),
        ("demos_per_round", demos_per_round),
        ("checkpoint_every", checkpoint_every),
    ):
        if value < 1:
            raise errors.InvalidArgumentError(f"{name} must be at least 1, got {value}")
    count = tasks.shape[0]
    if task_weights is None:
        return jnp.full((count,), 1.0 / count, tasks.dtype)
    weights = np.asarray(task_weights, dtype=float)
    if weights.shape != (count,) or (weights < 0).any():
        raise errors.InvalidArgumentError(
            f"task_weights must be {count} numbers that are not negative, got"
            f" {task_weights}"
        )
    if not np.isclose(weights.sum(), 1.0, atol=1e-6):
        raise errors.InvalidArgumentError(
            f"task_weights must sum to 1, got {weights.sum():.6g}; divide by their sum"
        )
    return jnp.asarray(weights, tasks.dtype)
