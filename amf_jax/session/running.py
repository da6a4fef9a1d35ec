"""A run as it stands on the host: its state, its records, the round in progress."""

import functools
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from amf_jax import encoders, evaluation, provenance, rounds
from amf_jax.demonstrations import Demonstrations
from amf_jax.learners import Learner, LearnerState
from amf_jax.provenance import Session
from amf_jax.records import Record, round_record, success_by_round
from amf_jax.rounds import Round, RunState
from amf_jax.selectors.base import Selector
from amf_jax.selectors.batch import tasks_of
from amf_jax.session import deliveries
from amf_jax.session.checkpoint import Checkpointer
from amf_jax.session.journal import Asked, Delivered, Event
from amf_jax.session.ongoing import Ongoing
from amf_jax.session.specification import Specification

OnRound = Callable[[Record], None]


class _Programs:
    """What a run is compiled to: functions of its own, so that it goes with them."""

    def __init__(self, learner: Learner):
        self.act = evaluation.jitted(learner)
        self.start = jax.jit(lambda *given: Round.start(*given))
        self.select = jax.jit(lambda *given: Round.select(*given), static_argnums=5)
        self.finetune = jax.jit(lambda *given: Round.finetune(*given))


@functools.lru_cache(maxsize=4)
def _programs(learner: Learner, selector: Selector) -> _Programs:
    """Shared by runs of the same parts, and let go when others have come."""
    del selector  # traced anew for each
    return _Programs(learner)


class Run:
    """Goes from record to record; whatever fails in between can be done again.

    Args:
      given: what determines the run.
      one: what each round does.
      evaluate: as of `ActiveFineTuner`.
      checkpointer: keeps it in a folder; None in memory.
      checkpoint_every: rounds between checkpoints.

    Attributes:
      key: root of every random decision.
      records: what happened in each round so far.
      sessions: what made them.
      state: after the last of them; None before the first.
      ongoing: the round that comes next, once it has begun.
    """

    def __init__(
        self,
        given: Specification,
        one: Round,
        evaluate: Callable[..., Mapping[str, Any]] | None,
        checkpointer: Checkpointer | None,
        checkpoint_every: int,
    ):
        self._given, self._round, self._evaluate = given, one, evaluate
        self._programs = _programs(one.learner, one.selector)
        self._checkpointer, self._every = checkpointer, checkpoint_every
        self.key = jax.random.key(given.seed)
        self.records: list[Record] = []
        self.sessions: list[Session] = []
        self.state: RunState | None = None
        self.ongoing: Ongoing | None = None
        self._places: list[Any] = []  # who is at which task between the rounds
        self._noted: dict[int, list[Event]] = {}  # events of rounds to come
        self._has_begun = False

    def begin(self, on_round: OnRound | None = None) -> Ongoing | None:
        """As `current`, once the run is restored or round 0 is done."""
        if self._checkpointer is not None:
            self._checkpointer.check_open()
        if not self.records:
            self._restore()
        begins = len(self.records) <= self._given.rounds and not self._has_begun
        if begins:
            provenance.begin(self.sessions, len(self.records))
            self._has_begun = True
        if not self.records:
            data = self._given.blank, *self._data(encoders.encode_demonstrations)
            state = self._programs.start(
                self._round, self.key, *data, self._evaluations()
            )
            self.finish(Ongoing(0, jax.block_until_ready(state), ()), on_round)
        if begins:  # what is wrong with it shows before anybody is asked
            self._programs.finetune.eval_shape(self._round, self.key, self.state)
        return self.current()

    def current(self) -> Ongoing | None:
        """The round in progress, with what the journal has of it; None at the end."""
        index = len(self.records)
        if index > self._given.rounds:
            self.save()  # which may have failed at first
            return None
        if self.ongoing is None:
            assert self.state is not None
            ongoing = Ongoing(index, self.state, self._places)
            for event in self._noted.get(index, ()):
                if isinstance(event, Asked):
                    self._select(ongoing, len(event.tasks), event)
                else:
                    ongoing.deliver(event)
            ongoing.noted = len(ongoing.events)
            self.ongoing = ongoing
        return self.ongoing

    def choose(self, ongoing: Ongoing, count: int) -> None:
        """Asks further tasks, unless the round has begun to be delivered."""
        left = (self._given.rounds - ongoing.index + 1) * self._given.batch
        missing = min(count, left) - len(ongoing.outstanding())
        if missing > 0 and not ongoing.has_deliveries:
            self._select(ongoing, missing)
        self._note(ongoing)

    def _select(self, ongoing: Ongoing, size: int, noted: Asked | None = None) -> None:
        """Chooses tasks; those that were `noted` are asked for, whatever they are."""
        key, before = rounds.keys(self.key, ongoing.index).select, len(ongoing.asked)
        if before:
            key = rounds.later_key(self.key, ongoing.index, before)
        known = ongoing.state, self._evaluations(), ongoing.pending(self._round.tasks)
        (choices, state, infos), seconds = _timed(
            self._programs.select, self._round, key, *known, size
        )
        chosen = Asked(tuple(tasks_of(choices, infos, self._given.task_names)))
        ongoing.ask(noted or chosen, infos, state, seconds)

    def demonstrate(self, ongoing: Ongoing, expert: Callable[..., Any]) -> None:
        """Has the expert demonstrate what is outstanding, as `ActiveFineTuner` says."""
        count, blank = self._given.demos_per_round, self._given.blank
        outstanding, tasks = ongoing.outstanding(), self._round.tasks
        for place, task in outstanding.items():
            new = expert(task, ongoing.index, count)
            task_id = task if isinstance(task, int) else -1
            told = new, blank, tasks, task_id, count, self._given.encoder
            rows = deliveries.delivered(*told)
            is_last, fails = place == max(outstanding), (False,) * count
            self.deliver(ongoing, Delivered(rows, fails, (place,), is_last))

    def deliver(self, ongoing: Ongoing, event: Delivered) -> None:
        """Takes in a delivery, also on disk."""
        ongoing.deliver(event)
        self._note(ongoing)

    def _note(self, ongoing: Ongoing) -> None:
        """Brings the journal up to date, which may have failed at first."""
        if self._checkpointer is not None:
            ongoing.note(self._checkpointer.journal)

    def finish(
        self, ongoing: Ongoing, on_round: Callable[[Record], None] | None = None
    ) -> Record:
        """Trains, evaluates and records, as far as that was not done before it failed.

        All is recorded at once, so that a failure leaves the last round whole.
        """
        self._note(ongoing)
        index, num_tasks = ongoing.index, self._round.tasks.shape[0]
        keys = rounds.keys(self.key, index)
        (learner, training), finetuning = self._trained(ongoing, keys.finetune)
        act = self.actor(keys.evaluate, learner)
        metrics, evaluating = evaluation.measure(
            self._evaluate, act, learner, index, num_tasks
        )
        seconds = ongoing.selecting, finetuning, evaluating
        record = round_record(
            index,
            ongoing.asked,
            ongoing.state.demos,
            num_tasks,
            learner.mixing,
            ongoing.all_infos(),
            metrics,
            dict(zip(("select", "finetune", "evaluate"), seconds, strict=True)),
            training=training,
            delivered=ongoing.delivered(self._given.demos_per_round),
        )
        self.state = ongoing.state._replace(learner=learner)
        self._places, self.ongoing = ongoing.places, None
        self.records.append(record)
        if index % self._every == 0 or index == self._given.rounds:
            self.save()
        if on_round is not None:
            on_round(record)
        return record

    def _trained(self, ongoing: Ongoing, key: Any) -> tuple[tuple[Any, Any], float]:
        """The learner's new state, its metrics, and the seconds that it took."""
        if not ongoing.has_grown:
            return (ongoing.state.learner, {}), 0.0
        if ongoing.trained is None:
            ongoing.trained = _timed(
                self._programs.finetune, self._round, key, ongoing.state
            )
        return ongoing.trained

    def save(self) -> None:
        """Writes a checkpoint, if there is none of the last record."""
        if self._checkpointer is not None:
            assert self.state is not None
            told = self.records, self.sessions, self._places
            self._checkpointer.save(self.state, *told)

    def close(self) -> None:
        """Leaves the folder to others."""
        if self._checkpointer is not None:
            self._checkpointer.close()

    def actor(self, key: Any, state: LearnerState) -> evaluation.Act:
        """A policy as NumPy sees it."""
        given = self._round.tasks, self._given.encoder
        return evaluation.Act(self._programs.act, key, state, *given)

    def _restore(self) -> None:
        if self._checkpointer is None:
            return
        if found := self._checkpointer.restore(self._initial, self._updated):
            self.state, self.records, self.sessions, self._places = found
        done = max(len(self.records), 1)  # round 0 asks nobody
        self._noted = self._checkpointer.journal.read(done - 1)

    def _initial(self, blank: Demonstrations, rounds: int) -> RunState:
        """The state before round 0 with an empty buffer, to be traced."""
        pretraining, history = self._data(encoders.traced)
        told = self._evaluations(rounds)
        return self._round.start(self.key, blank, pretraining, history, told)

    def _data(self, encode: Callable[..., Demonstrations]) -> list[Any]:
        """What it pre-trains on, and the selector's history, as a policy sees them."""
        given, encoder = self._given, self._given.encoder
        return [
            demos if encoder is None or demos is None else encode(encoder, demos)
            for demos in (given.pretraining, given.history)
        ]

    def _updated(self, state: LearnerState, demos: Demonstrations) -> LearnerState:
        """The learner's state after a round, to be traced."""
        return self._round.finetune(self.key, RunState(demos, state, None))[0]

    def _evaluations(self, rounds: int | None = None) -> np.ndarray | None:
        """Of NumPy: `jax_debug_nans` would take what is unknown for an accident."""
        if self._evaluate is None:
            return None
        shape = rounds or self._given.rounds, self._round.tasks.shape[0]
        return success_by_round(self.records, *shape).astype(self._round.tasks.dtype)


def _timed(function: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """What a function returns, and the seconds until it is there."""
    started = time.perf_counter()
    returned = jax.block_until_ready(function(*arguments))
    return returned, time.perf_counter() - started
