"""The round in progress: who is at which task, and what was delivered so far."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from amf_jax import demonstrations as demonstrations_lib
from amf_jax.learners import LearnerState
from amf_jax.rounds import RunState
from amf_jax.selectors import pending as pending_lib
from amf_jax.selectors.base import Choice
from amf_jax.selectors.context import Pending
from amf_jax.session.journal import Asked, Delivered, Event, Journal, Task, plain_tasks


class Ongoing:
    """A round from its first selection to its record.

    Args:
      index: of the round.
      state: after the round before it; here with what was chosen and delivered since.
      places: who is still at a task of a round before: `places[i]` is what demonstrator
        i is at, or None.

    Attributes:
      asked: tasks that were chosen in this round, in order of choosing.
      infos: diagnostics of each selection.
      attempts: what came, one mapping each: `task`, `steps`, and `failed` where it is.
      selecting: seconds spent on selections.
      has_deliveries: whether there was one, however little it brought.
      has_grown: whether there is more to train on.
      is_complete: whether no other delivery is waited for.
      trained: what fine-tuning returned and the seconds it took, once it is done.
      events: for the journal.
      noted: how many of those it has.
    """

    def __init__(self, index: int, state: RunState, places: Sequence[Task | None]):
        self.index, self.state, self.places = index, state, list(places)
        self.asked: list[Task] = []
        self.infos: list[Any] = []
        self.attempts: list[dict[str, Any]] = []
        self.selecting = 0.0
        self.has_deliveries = self.has_grown = self.is_complete = False
        self.trained: tuple[tuple[LearnerState, Any], float] | None = None
        self.events: list[Event] = []
        self.noted = 0

    def outstanding(self) -> dict[int, Task]:
        """Who is at which task, by place."""
        return {i: task for i, task in enumerate(self.places) if task is not None}

    def awaited(self) -> dict[int, Task]:
        """Whose deliveries the round waits for."""
        return {} if self.is_complete else self.outstanding()

    def pending(self, tasks: Any) -> Pending | None:
        """What is outstanding, for a selector; None if nothing is."""
        held = self.outstanding()
        if not held:
            return None
        ids = [task if isinstance(task, int) else -1 for task in held.values()]
        vectors = [tasks[x] if isinstance(x, int) else x for x in held.values()]
        choices = Choice(jnp.asarray(ids, jnp.int32), jnp.stack(vectors))
        none = pending_lib.none(len(self.places), tasks)
        return pending_lib.assign(none, jnp.asarray([*held]), choices)

    def ask(self, event: Asked, infos: Any, state: Any, seconds: float) -> None:
        """Gives tasks to those who have none, then to further demonstrators.

        Args:
          event: the tasks.
          infos: diagnostics of their selection.
          state: of the selector after it.
          seconds: that it took.
        """
        free = [place for place, task in enumerate(self.places) if task is None]
        for task in event.tasks:
            if free:
                self.places[free.pop(0)] = task
            else:
                self.places.append(task)
        self.asked.extend(event.tasks)
        self.state = self.state._replace(selector=state)
        self.infos.append(infos)
        self.selecting += seconds
        self.events.append(event)

    def deliver(self, event: Delivered) -> None:
        """Takes in a delivery: what did not fail goes behind the demonstrations."""
        rows, state = event.demos, self.state
        ids, vectors = np.asarray(rows.task_ids), np.asarray(rows.tasks)
        steps = np.asarray(rows.step_mask).sum(axis=1).tolist()
        attempts = []
        for row, failed in enumerate(event.failed):
            task = int(ids[row]) if ids[row] >= 0 else vectors[row].tolist()
            attempt = {"task": task, "steps": steps[row]}
            attempts.append(attempt | ({"failed": True} if failed else {}))
        kept = ~np.asarray(event.failed, bool)
        if kept.any():
            new = rows if kept.all() else jax.tree.map(lambda leaf: leaf[kept], rows)
            demos = demonstrations_lib.append(state.demos, new)
            state = state._replace(demos=demos)
        # All at once: Ctrl-C may come at any time.
        self.state, self.has_grown = state, self.has_grown or bool(kept.any())
        self.attempts.extend(attempts)
        for place in event.answers:
            self.places[place] = None
        self.has_deliveries, self.is_complete = True, event.is_last
        self.events.append(event)

    def note(self, journal: Journal) -> None:
        """Writes the events that the journal does not have."""
        while self.noted < len(self.events):
            journal.write(self.index, self.noted, self.events[self.noted])
            self.noted += 1

    def all_infos(self) -> Any:
        """Diagnostics of all choices of the round, in their order; None without any."""
        if len(self.infos) < 2:
            return next(iter(self.infos), None)
        return jax.tree.map(lambda *leaves: np.concatenate(leaves), *self.infos)

    def shown_places(self) -> list[Task | None]:
        """Who is at which task, up to the last one who is."""
        return self.places[: max(self.outstanding(), default=-1) + 1]

    def delivered(self, count: int) -> list[dict[str, Any]] | None:
        """The attempts, unless they are `count` whole ones of each task as asked."""
        horizon = self.state.demos.step_mask.shape[1]
        tasks = [task for task in plain_tasks(self.asked) for _ in range(count)]
        expected = [{"task": task, "steps": horizon} for task in tasks]
        return None if self.attempts == expected else self.attempts
