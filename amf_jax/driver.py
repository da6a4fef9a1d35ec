"""The driver: the one stateful object, threading keys and states through rounds."""

import itertools
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from amf_jax import demonstrations as demonstrations_lib
from amf_jax import errors, evaluation, interrupt, problem, provenance, ranges
from amf_jax.checkpoint import Checkpointer, RunState
from amf_jax.demonstrations import Demonstrations
from amf_jax.learners import Learner, LearnerState
from amf_jax.provenance import Session
from amf_jax.records import Record, round_record, success_by_round
from amf_jax.selectors.base import Context, Selector, check_frozen
from amf_jax.selectors.batch import select_batch, tasks_of
from amf_jax.specification import specify

#: No round has this number: it is folded into the key of actions between rounds.
_NO_ROUND = 2**32 - 1


class ActiveFineTuner:
    """Select, demonstrate, fine-tune, evaluate, and again.

    Round 0 evaluates the pre-trained policy. Every random decision of round r comes
    from `fold_in(key(seed), r)`: a resumed run equals a straight one bit for bit, and
    so, but for the rounding in larger buffers, does one that goes on with more `rounds`
    than it was begun with.

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
      evaluate: `(act, state, round) -> mapping` of metrics (numbers, arrays, strings,
        and what nests them), or None. `act` maps NumPy observations `[B, ...]` and task
        ids `[B]` to actions `[B, A]`. "success", one number per task, is what selectors
        see as `evaluations`.
      rounds: the budget, in rounds.
      demos_per_round: demonstrations of each chosen task per round.
      batch: tasks that are chosen per round, each with the former ones pending; see
        `selectors.select_batch`. A pending task counts as one demonstration.
      seed: of every random decision.
      demos: an empty buffer to collect into, from `demonstrations.empty`, with room for
        the whole budget; None makes one of the shape of `pretraining`.
      history: demonstrations that the selector conditions on from the start.
      task_names: for messages.
      checkpoint_dir: keeps the latest rounds, for this object alone until `close`;
        None keeps them in memory.
      checkpoint_every: rounds between checkpoints; the last round always writes one.
      identity: description of what else determines the run, such as its config: checked
        when resuming, beside the other arguments.

    Attributes:
      records: what happened in each round so far.
      sessions: what made them, by `first_round`: see `provenance.session`.

    Raises:
      InvalidArgumentError: no task, no budget, or weights that are no distribution.
      DemonstrationError: pre-training demonstrations that do not fit the tasks.
      CheckpointError: `checkpoint_dir` cannot be written.
      RunInUseError: another process, or another object, uses it.
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
        checkpoint_dir: str | os.PathLike[str] | None = None,
        checkpoint_every: int = 1,
        identity: Any = None,
    ):
        self._given = specify(
            seed=seed,
            tasks=tasks,
            task_weights=task_weights,
            task_names=task_names,
            pretraining=pretraining,
            history=history,
            demos=demos,
            rounds=rounds,
            batch=batch,
            demos_per_round=demos_per_round,
        )
        ranges.check("checkpoint_every", checkpoint_every, ranges.COUNT)
        self._learner, self._selector = learner, selector
        self._demonstrate, self._evaluate = demonstrate, evaluate
        self._key = jax.random.key(self._given.seed)
        self._free_actions = jax.random.fold_in(self._key, _NO_ROUND)
        self._acted = itertools.count()
        self._select = jax.jit(select_batch, static_argnames=("selector", "size"))
        self._update = jax.jit(self._checked_update)
        self._act = jax.jit(learner.act)
        self.tasks, self.task_weights = self._given.tasks, self._given.task_weights
        self.records: list[Record] = []
        self.sessions: list[Session] = []
        self.demos = self._given.blank
        self.collected = self.demos  # with what a round in progress has brought
        self.learner_state: LearnerState | None = None
        self.selector_state: Any = None
        self._has_begun = False
        self._checkpoint_every = int(checkpoint_every)
        self._checkpoint_dir = checkpoint_dir
        self._checkpointer: Checkpointer | None = None
        if checkpoint_dir is not None:
            self._checkpointer = Checkpointer(checkpoint_dir, self._given, identity)

    def run(
        self,
        on_round: Callable[[Record], None] = lambda record: None,
        on_interrupt: Callable[[str], None] = print,
    ) -> list[Record]:
        """Runs the rounds that are left: behind those in memory, or in the checkpoint.

        Ctrl-C finishes the round, then raises `Interrupted`; a second one acts at once.

        Args:
          on_round: called with each new record, after its checkpoint is written.
          on_interrupt: called with a message when Ctrl-C is pressed.

        Returns:
          The records of all rounds, including those of a resumed run's earlier part.

        Raises:
          SelectionError: the selector could not rank the candidates.
          TrainingError: mixing weights are not finite.
          DemonstrationError: if the expert's demonstrations are malformed.
          CheckpointError: the checkpoint is damaged, another run's, of a larger budget,
            or cannot be written; or `close` was called.
          Interrupted: after Ctrl-C, once the round is safe.

        Warns:
          ResumeWarning: the latest round of the checkpoint is damaged, or this session
            computes with other versions, threads or devices than the last one.
        """
        rounds = self._given.rounds
        if self._checkpointer is not None:
            self._checkpointer.check_open()
        with interrupt.deferred(on_interrupt) as stopping:
            if not self.records:
                self._restore()
            if len(self.records) <= rounds and not self._has_begun:
                provenance.begin(self.sessions, len(self.records))
                self._has_begun = True
            if not self.records:
                self._start()
                self._finish_round(on_round)
            if len(self.records) <= rounds:  # traced before the expert is asked
                self._update.eval_shape(self._key, self.learner_state, self.demos)
            while len(self.records) <= rounds:
                if stopping.is_set():
                    self._save()
                    done = len(self.records) - 1
                    raise interrupt.stopped(done, rounds, self._checkpoint_dir)
                self._round(len(self.records))
                self._finish_round(on_round)
            self._save()  # which may have failed at first
        return self.records

    def act(self, observations: Any, task_ids: np.ndarray) -> np.ndarray:
        """Actions of the current policy, adaptive prior included."""
        if self.learner_state is None:
            raise errors.InvalidArgumentError("no policy yet: call run() first")
        stream = jax.random.fold_in(self._free_actions, len(self.sessions))
        key = jax.random.fold_in(stream, next(self._acted))
        act = evaluation.actor(self._act, key, self.learner_state, self.tasks)
        return act(observations, task_ids)

    def close(self) -> None:
        """Leaves the checkpoint folder to others, and the run to another object."""
        if self._checkpointer is not None:
            self._checkpointer.close()

    def _start(self) -> None:
        init_key, evaluate_key = jax.random.split(jax.random.fold_in(self._key, 0))
        init = jax.jit(self._learner.init)
        learner_state = jax.block_until_ready(init(init_key, self._given.pretraining))
        init = jax.jit(self._selector.init)
        selector_state = init(self._context(learner_state), self._given.history)
        metrics, seconds = self._measure(evaluate_key, learner_state, 0)
        state = RunState(self._given.blank, learner_state, selector_state)
        self._commit(state, [], None, metrics, (0.0, 0.0, seconds))

    def _round(self, index: int) -> None:
        assert self.learner_state is not None
        key = jax.random.fold_in(self._key, index)
        select_key, update_key, evaluate_key = jax.random.split(key, 3)
        context = self._context(self.learner_state)
        arguments = select_key, self.selector_state, context, self._given.batch
        (choices, selector_state, infos), selecting = _timed(
            self._select, self._selector, *arguments
        )
        asked = tasks_of(choices, infos, self._given.task_names)
        demos = self._collect(index, asked)
        (learner_state, _), finetuning = _timed(
            self._update, update_key, self.learner_state, demos
        )
        metrics, evaluating = self._measure(evaluate_key, learner_state, index)
        state = RunState(demos, learner_state, selector_state)
        self._commit(state, asked, infos, metrics, (selecting, finetuning, evaluating))

    def _collect(self, index: int, asked: list[int | np.ndarray]) -> Demonstrations:
        """The demonstrations at hand and those of a round, from the expert."""
        count, self.collected = self._given.demos_per_round, self.demos
        for task in asked:
            new = self._demonstrate(task, index, count)
            task_id = task if isinstance(task, int) else -1
            problem.check_delivery(new, self.demos, self.tasks, task_id, count)
            self.collected = demonstrations_lib.append(self.collected, new)
        return self.collected

    def _checked_update(self, key, state: LearnerState, demos: Demonstrations):
        new, metrics = self._learner.update(key, state, demos)
        check_frozen(self._selector, state.embedding_params, new.embedding_params)
        return new, metrics

    def _measure(self, key, state: LearnerState, index: int):
        act = evaluation.actor(self._act, key, state, self.tasks)
        return evaluation.measure(
            self._evaluate, act, state, index, self.tasks.shape[0]
        )

    def _commit(self, state: RunState, asked, infos, metrics, seconds) -> None:
        """Records a round; all at once, so that a failure leaves the last one whole."""
        record = round_record(
            len(self.records),
            asked,
            state.demos,
            self.tasks.shape[0],
            state.learner.mixing,
            infos,
            metrics,
            dict(zip(("select", "finetune", "evaluate"), seconds, strict=True)),
        )
        self.demos, self.learner_state, self.selector_state = state
        self.records.append(record)

    def _finish_round(self, on_round) -> None:
        index = len(self.records) - 1
        if index % self._checkpoint_every == 0 or index == self._given.rounds:
            self._save()
        on_round(self.records[-1])

    def _save(self) -> None:
        if self._checkpointer is not None:
            assert self.learner_state is not None
            state = RunState(self.demos, self.learner_state, self.selector_state)
            self._checkpointer.save(state, self.records, self.sessions)

    def _restore(self) -> None:
        found = self._checkpointer and self._checkpointer.restore(
            self._initial, self._updated
        )
        if found:
            state, self.records, self.sessions = found
            self.demos, self.learner_state, self.selector_state = state

    def _initial(self, blank: Demonstrations, rounds: int) -> RunState:
        """The state before round 0 with an empty buffer, to be traced."""
        init_key, _ = jax.random.split(jax.random.fold_in(self._key, 0))
        learner_state = self._learner.init(init_key, self._given.pretraining)
        context = self._context(learner_state, rounds)._replace(demos=blank)
        selector_state = self._selector.init(context, self._given.history)
        return RunState(blank, learner_state, selector_state)

    def _updated(self, state: LearnerState, demos: Demonstrations) -> LearnerState:
        """The learner's state after a round, to be traced."""
        return self._checked_update(self._key, state, demos)[0]

    def _context(self, state: LearnerState, rounds: int | None = None) -> Context:
        evaluations = None
        if self._evaluate is not None:
            shape = rounds or self._given.rounds, self.tasks.shape[0]
            success = success_by_round(self.records, *shape)
            # Of NumPy: `jax_debug_nans` would take what is unknown for an accident.
            evaluations = success.astype(self.tasks.dtype)
        return Context(
            demos=self.demos,
            tasks=self.tasks,
            task_weights=self.task_weights,
            params=state.params,
            embedding_params=state.embedding_params,
            evaluations=evaluations,
        )


def _timed(function: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """What a function returns, and the seconds until it is there."""
    started = time.perf_counter()
    returned = jax.block_until_ready(function(*arguments))
    return returned, time.perf_counter() - started
