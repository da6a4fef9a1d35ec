"""The driver: the one stateful object, threading keys and states through rounds."""

import itertools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from amf_jax import errors, evaluation, interrupt, ranges
from amf_jax.demonstrations import Demonstrations
from amf_jax.encoders import Encoder
from amf_jax.learners import Learner, LearnerState
from amf_jax.provenance import Session
from amf_jax.records import Record
from amf_jax.rounds import Round
from amf_jax.selectors.base import Selector
from amf_jax.session import deliveries
from amf_jax.session.checkpoint import Checkpointer
from amf_jax.session.journal import Delivered, Task
from amf_jax.session.running import Run
from amf_jax.session.specification import specify
from amf_jax.windows import STEP

#: No round has this number: it is folded into the key of actions between rounds.
_NO_ROUND = 2**32 - 1


class ActiveFineTuner:
    """Select, demonstrate, fine-tune, evaluate, and again.

    `run` goes through the rounds with an expert that is a function. With people, ask
    and tell, in one process or in several with the same `checkpoint_dir`:

        while tasks := tuner.ask():
            tuner.tell(record(tasks))  # your own: however long it takes

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
        tasks. Called once for each choice of a round, in the order of choosing. None
        where all rounds go by `ask` and `tell`.
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
      encoder: frozen part of the policy, which learner and selector know nothing of;
        None for a policy that is trained as a whole. All demonstrations that are given,
        and what `act` is given, are then of what is observed, and are encoded once;
        `demos` are of features, see `encoders.feature_spec`.
      history: demonstrations that the selector conditions on from the start.
      task_names: for messages.
      checkpoint_dir: keeps the latest rounds, for this object alone until `close`;
        None keeps them in memory.
      checkpoint_every: rounds between checkpoints; the last round always writes one.
      identity: description of what else determines the run, such as its config: checked
        when resuming, beside the other arguments.

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
        rounds: int,
        seed: int,
        demonstrate: Callable[[Task, int, int], Demonstrations] | None = None,
        pretraining: Demonstrations | None = None,
        demos: Demonstrations | None = None,
        encoder: Encoder | None = None,
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
        given = specify(
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
            encoder=encoder,
            window=learner.window,
        )
        ranges.check("checkpoint_every", checkpoint_every, ranges.COUNT)
        checkpointer = None
        if checkpoint_dir is not None:
            checkpointer = Checkpointer(checkpoint_dir, given, identity)
        self.tasks, self.task_weights = given.tasks, given.task_weights
        one = Round(learner, selector, self.tasks, self.task_weights)
        self._run = Run(given, one, evaluate, checkpointer, int(checkpoint_every))
        self._given, self._demonstrate = given, demonstrate
        self._checkpoint_dir, self._acted = checkpoint_dir, itertools.count()
        self._listed_tasks = selector.listed_tasks

    def ask(self, count: int | None = None) -> list[Task | None]:
        """The tasks that are to be demonstrated next, or are being demonstrated.

        Asked again, also in another process after a kill, it says the same until there
        is something to `tell`. What was told and could not be finished, since an
        evaluation or the process failed, is finished first; nobody is asked again.

        Args:
          count: of demonstrators, `batch` by default. As many tasks are chosen as are
            missing to that, each with the others pending. How many are chosen, and how
            many places there are, is compiled for: keep to a few counts.

        Returns:
          What demonstrator i is to show at place i: the index of a task, or its
          vector if it is none of the evaluation tasks. Near the end of the budget there
          may be less to do: None, or a shorter list. An empty one is the end.

        Raises:
          InvalidArgumentError: `count` is no whole number of at least 1.
          AmfError: as `run`.
        """
        ranges.check("count", count, ranges.COUNT, optional=True)
        ongoing = self._run.begin()
        while ongoing and ongoing.is_complete:
            self._run.finish(ongoing)
            ongoing = self._run.current()
        if ongoing is None:
            return []
        self._run.choose(ongoing, self._given.batch if count is None else int(count))
        return ongoing.shown_places()

    def tell(
        self,
        episodes: Demonstrations | Iterable[Any] | None = None,
        *,
        failed: Any = False,
        answers: Sequence[int] | None = None,
    ) -> Record:
        """Takes what was demonstrated, and ends the round with it.

        It may be more than was asked for, less, shorter, or of another task, and is
        recorded as what it is. Before anything is trained on it, it is in the
        checkpoint folder, as features if there is an encoder. Should what follows fail,
        `ask` or `run` go on: do not repeat it.

        Args:
          episodes: what `demonstrations.from_episodes` takes, or rows of any number,
            whose padding is left out. None, or an empty list, is nothing. One without a
            task id, or of id -1, is of the evaluation task with the same vector; with
            none such, it is kept as of another task, but for a selector of
            `listed_tasks`.
          failed: which of them are to be recorded and not trained on, `[N]` or all.
          answers: places in what `ask` returned of those who are through with it; the
            others stay at their tasks, which are pending. None is all.

        Returns:
          The record of the round. What came otherwise than asked is in `delivered`.

        Raises:
          InvalidArgumentError: nobody was asked, or `failed` or `answers` do not fit.
          DemonstrationError: malformed demonstrations, or of a task that the selector
            cannot weigh; nothing is taken.
          CapacityError: there is no room for so many, but in the same run with more
            `rounds`; nothing is taken.
          AmfError: as `run`.
        """
        ongoing = self._run.begin()
        places = deliveries.check_answers(answers, ongoing.awaited() if ongoing else {})
        assert ongoing is not None
        like = self.demos, self.tasks, self._given.encoder, self._listed_tasks
        rows, fails = deliveries.attempts(episodes, failed, *like)
        per_round = self._given.batch * self._given.demos_per_round
        deliveries.check_left(self.collected, fails.count(False), per_round)
        self._run.deliver(ongoing, Delivered(rows, fails, places, is_last=True))
        return self._run.finish(ongoing)

    def run(
        self,
        on_round: Callable[[Record], None] = lambda record: None,
        on_interrupt: Callable[[str], None] = print,
    ) -> list[Record]:
        """Runs the rounds that are left: behind those in memory, or in the checkpoint.

        Ctrl-C finishes the round, then raises `Interrupted`; a second one acts at once.
        What was demonstrated before a round failed is not asked for again.

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
        if self._demonstrate is None:
            raise errors.InvalidArgumentError(
                "demonstrate is None: give an expert to run with, or ask() and tell()"
            )
        with interrupt.deferred(on_interrupt) as stopping:
            ongoing = self._run.begin(on_round)
            while ongoing:
                if stopping.is_set():
                    self._run.save()
                    done, budget = len(self.records) - 1, self._given.rounds
                    raise interrupt.stopped(done, budget, self._checkpoint_dir)
                if not ongoing.is_complete:
                    self._run.choose(ongoing, self._given.batch)
                    self._run.demonstrate(ongoing, self._demonstrate)
                self._run.finish(ongoing, on_round)
                ongoing = self._run.current()
        return self.records

    def act(self, observations: Any, task_ids: np.ndarray) -> np.ndarray:
        """Actions of the current policy, adaptive prior included.

        Raises:
          InvalidArgumentError: there is no policy yet, or it sees or plans several
            steps, for which `actor` follows episodes.
        """
        window = self._given.window
        if window != STEP:
            raise errors.InvalidArgumentError(
                f"act takes single steps, and the policy has {window}; call actor()"
                " where episodes begin, and what it returns at every step"
            )
        return self.actor()(observations, task_ids)

    def actor(self) -> evaluation.Act:
        """The same for episodes: call it at every step, from the first one on.

        Raises:
          InvalidArgumentError: there is no policy yet.
        """
        if self.learner_state is None:
            raise errors.InvalidArgumentError("no policy yet: call run() or ask()")
        free = jax.random.fold_in(self._run.key, _NO_ROUND)
        stream = jax.random.fold_in(free, len(self.sessions))
        key = jax.random.fold_in(stream, next(self._acted))
        return self._run.actor(key, self.learner_state)

    def close(self) -> None:
        """Leaves the checkpoint folder to others, and the run to another object."""
        self._run.close()

    @property
    def records(self) -> list[Record]:
        """What happened in each round so far."""
        return self._run.records

    @property
    def sessions(self) -> list[Session]:
        """What made the rounds, by `first_round`: see `provenance.session`."""
        return self._run.sessions

    @property
    def demos(self) -> Demonstrations:
        """What was collected up to the last record."""
        state = self._run.state
        return self._given.blank if state is None else state.demos

    @property
    def collected(self) -> Demonstrations:
        """`demos`, and what was delivered in the round in progress."""
        ongoing = self._run.ongoing
        return self.demos if ongoing is None else ongoing.state.demos

    @property
    def learner_state(self) -> LearnerState | None:
        """The learner's state; None before there is a policy."""
        return self._run.state and self._run.state.learner

    @property
    def selector_state(self) -> Any:
        """The selector's state; None before there is one."""
        return self._run.state and self._run.state.selector
