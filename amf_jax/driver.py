"""The driver: the one stateful object, threading keys and states through rounds."""

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from amf_jax import demonstrations as demonstrations_lib
from amf_jax import errors, interrupt, problem
from amf_jax.checkpoint import Checkpointer
from amf_jax.demonstrations import Demonstrations
from amf_jax.learners import Learner, LearnerState
from amf_jax.records import Record, round_record, success_by_round
from amf_jax.selectors.base import Context, Selector
from amf_jax.selectors.batch import select_batch, tasks_of


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
        tasks. Called once for each choice of a round, in the order of choosing.
      evaluate: `(act, state, round) -> mapping` of JSON-able metrics, or None. `act`
        maps NumPy observations `[B, S]` and task ids `[B]` to actions `[B, A]`.
        "success", one number per task, is what selectors see as `evaluations`.
      rounds: the budget, in rounds.
      demos_per_round: demonstrations of each chosen task per round.
      batch: tasks that are chosen per round, each with the former ones pending; see
        `selectors.select_batch`. A pending task counts as one demonstration.
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
        batch: int = 1,
        history: Demonstrations | None = None,
        task_names: Sequence[str] | None = None,
        checkpoint_dir: str | Path | None = None,
        checkpoint_every: int = 1,
        identity: Any = None,
    ):
        self._task_names = None if task_names is None else tuple(task_names)
        self.tasks = problem.check_tasks(tasks, self._task_names)
        self.task_weights = problem.check_weights(task_weights, self.tasks)
        problem.check_positive(
            {
                "rounds": rounds,
                "demos_per_round": demos_per_round,
                "batch": batch,
                "checkpoint_every": checkpoint_every,
            }
        )
        self._rounds, self._batch = rounds, batch
        self._demos_per_round = demos_per_round
        self._blank = problem.buffer(
            demos, pretraining, self.tasks, rounds * batch * demos_per_round
        )
        self._learner, self._selector = learner, selector
        self._pretraining, self._history = pretraining, history
        self._demonstrate, self._evaluate = demonstrate, evaluate
        self._key = jax.random.key(seed)
        # The stream behind those of the rounds, for whoever acts between them.
        self._free_actions = jax.random.fold_in(self._key, rounds + 1)
        self._acted = itertools.count()
        self._checkpoint_every = checkpoint_every
        self._checkpointer = (
            None if checkpoint_dir is None else Checkpointer(checkpoint_dir, identity)
        )
        self._select = jax.jit(select_batch, static_argnames=("selector", "size"))
        self._update = jax.jit(learner.update)
        self._act = jax.jit(learner.act)

        self.records: list[Record] = []
        self.demos = self._blank
        self.collected = self._blank  # with what a round in progress has brought
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
        key = jax.random.fold_in(self._free_actions, next(self._acted))
        return self._actor(key, self.learner_state)(observations, task_ids)

    def close(self) -> None:
        """Releases the checkpoint folder."""
        if self._checkpointer is not None:
            self._checkpointer.close()

    def _start(self) -> None:
        init_key, evaluate_key = jax.random.split(jax.random.fold_in(self._key, 0))
        self.demos, self.records = self._blank, []
        self.learner_state = jax.block_until_ready(
            jax.jit(self._learner.init)(init_key, self._pretraining)
        )
        self.selector_state = jax.jit(self._selector.init)(
            self._context(self.learner_state), self._history
        )
        metrics, seconds = self._measure(evaluate_key, self.learner_state, 0)
        timing = {"select": 0.0, "finetune": 0.0, "evaluate": seconds}
        self._record(0, [], None, metrics, timing)

    def _round(self, index: int) -> None:
        assert self.learner_state is not None
        key = jax.random.fold_in(self._key, index)
        select_key, update_key, evaluate_key = jax.random.split(key, 3)

        started = time.perf_counter()
        context = self._context(self.learner_state)
        choices, selector_state, infos = jax.block_until_ready(
            self._select(
                self._selector, select_key, self.selector_state, context, self._batch
            )
        )
        selecting = time.perf_counter() - started
        asked = tasks_of(choices, infos, self._task_names)
        demos = self._collect(index, asked)

        started = time.perf_counter()
        learner_state, _ = jax.block_until_ready(
            self._update(update_key, self.learner_state, demos)
        )
        finetuning = time.perf_counter() - started

        metrics, evaluating = self._measure(evaluate_key, learner_state, index)

        # All at once: an evaluation that fails leaves the last round whole.
        self.demos, self.learner_state = demos, learner_state
        self.selector_state = selector_state
        timing = {
            "select": selecting,
            "finetune": finetuning,
            "evaluate": evaluating,
        }
        self._record(index, asked, infos, metrics, timing)

    def _collect(self, index: int, asked: list[int | np.ndarray]) -> Demonstrations:
        """The demonstrations at hand and those of a round, from the expert."""
        count, self.collected = self._demos_per_round, self.demos
        for task in asked:
            new = self._demonstrate(task, index, count)
            task_id = task if isinstance(task, int) else -1
            problem.check_delivery(new, self.demos, self.tasks, task_id, count)
            self.collected = demonstrations_lib.append(self.collected, new)
        return self.collected

    def _record(self, index, asked, infos, metrics, seconds) -> None:
        assert self.learner_state is not None
        record = round_record(
            index,
            asked,
            self.demos,
            self.tasks.shape[0],
            self.learner_state.mixing,
            infos,
            metrics,
            seconds,
        )
        self.records.append(record)

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
            evaluations=self._evaluations(),
        )

    def _evaluations(self) -> jax.Array | None:
        if self._evaluate is None:
            return None
        num_tasks = self.tasks.shape[0]
        success = success_by_round(self.records, self._rounds, num_tasks)
        return jnp.asarray(success, self.tasks.dtype)

    def _measure(
        self, key, learner_state: LearnerState, index: int
    ) -> tuple[Mapping[str, Any], float]:
        if self._evaluate is None:
            return {}, 0.0
        started = time.perf_counter()
        act = self._actor(key, learner_state)
        metrics = self._evaluate(act, learner_state, index)
        problem.check_success(metrics.get("success"), self.tasks.shape[0])
        return metrics, time.perf_counter() - started

    def _actor(self, key, learner_state: LearnerState):
        calls = itertools.count()

        def act(observations, task_ids):
            ids = jnp.asarray(task_ids)
            call_key = jax.random.fold_in(key, next(calls))
            actions = self._act(
                learner_state, call_key, observations, self.tasks[ids], ids
            )
            return np.asarray(actions)

        return act
