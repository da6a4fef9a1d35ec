"""What experts and people deliver: checked, and as rows of the run's buffer."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from amf_jax import demonstrations as demonstrations_lib
from amf_jax import encoders, errors, task_table
from amf_jax.demonstrations import Demonstrations
from amf_jax.dtypes import real_numbers
from amf_jax.encoders import Encoder
from amf_jax.problem import check_fit


def delivered(
    new: Demonstrations,
    demos: Demonstrations,
    tasks: Array,
    task_id: int,
    count: int,
    encoder: Encoder | None,
) -> Demonstrations:
    """What the expert delivered, if that is what it was asked for, as rows.

    Raises:
      DemonstrationError: malformed demonstrations, too many steps, another number of
        them, another task, or a task vector that is not the task's.
    """
    check_fit(new, demos, tasks, encoder)
    rows = int(np.sum(np.asarray(new.demo_mask)))
    if rows != count or rows != new.demo_mask.shape[0]:
        raise errors.DemonstrationError(
            f"demonstrate returned {rows} demonstrations in {new.demo_mask.shape[0]}"
            f" rows; it was asked for {count} full rows"
        )
    given = np.unique(np.asarray(new.task_ids))
    if (given != task_id).any():
        raise errors.DemonstrationError(
            f"demonstrate returned demonstrations of task {given.tolist()}; it was"
            f" asked for {task_id}"
        )
    return _rows(new, count, demos, encoder)


def attempts(
    new: Demonstrations | Iterable[Any] | None,
    failed: Any,
    demos: Demonstrations,
    tasks: Array,
    encoder: Encoder | None,
    listed_tasks: bool,
) -> tuple[Demonstrations, tuple[bool, ...]]:
    """What was told of attempts, as rows like those of the buffer.

    Args:
      new: rows of any number, or what `demonstrations.from_episodes` takes, or None. A
        task id of -1 becomes that of the evaluation task with the same vector, if there
        is one.
      failed: which of them did, `[N]` or all.
      demos: the buffer.
      tasks: evaluation tasks.
      encoder: of what was observed, or None.
      listed_tasks: as of the selector.

    Returns:
      The rows that hold a demonstration, and whether each of them failed.

    Raises:
      DemonstrationError: malformed demonstrations, too many steps, or with
        `listed_tasks` one that did not fail and is of no evaluation task.
      InvalidArgumentError: `failed` does not fit.
    """
    if isinstance(new, list | tuple) and not new:
        new = None
    if new is not None and not isinstance(new, Demonstrations):
        new = demonstrations_lib.from_episodes(new)
    count = 0
    if new is not None:
        check_fit(new, demos, tasks, encoder)
        ids = task_table.listed(new.task_ids, new.tasks, tasks)
        new = new._replace(task_ids=jnp.asarray(ids))
        count = int(np.sum(np.asarray(new.demo_mask)))
    fails = np.asarray(failed)
    if fails.dtype != bool or fails.shape not in ((), (count,)):
        raise errors.InvalidArgumentError(
            f"failed must be a boolean, or one for each of the {count} demonstrations,"
            f" got {failed!r}"
        )
    fails = np.broadcast_to(fails, count)
    if new is not None and listed_tasks:
        _check_listed(new, fails)
    return _rows(new, count, demos, encoder), tuple(fails.tolist())


def _rows(
    new: Demonstrations | None,
    count: int,
    demos: Demonstrations,
    encoder: Encoder | None,
) -> Demonstrations:
    """The first `count` of some demonstrations, as rows like those of the buffer."""
    rows = jax.tree.map(lambda x: jnp.zeros((count, *x.shape[1:]), x.dtype), demos)
    if new is None:
        return rows
    real = jax.tree.map(lambda leaf: leaf[:count], new)
    return demonstrations_lib.append(rows, encoders.encoded(encoder, real))


def check_left(demos: Demonstrations, extra: int, per_round: int) -> None:
    """Raises if a run has no room for `extra` more demonstrations.

    Args:
      demos: collected so far, in a buffer for the whole budget.
      extra: how many have come.
      per_round: demonstrations that a round of the budget is for.

    Raises:
      CapacityError: with the `rounds` that they would fit in.
    """

    def instead(needed: int) -> str:
        return (
            "it is for rounds × batch × demos_per_round, or of the capacity of demos:"
            " tell fewer, or close the run, open it again from its checkpoint_dir with"
            f" rounds={-(-needed // per_round)} or more, and tell it then"
        )

    demonstrations_lib.check_room(demos, extra, instead)


def check_answers(
    answers: Sequence[int] | None, outstanding: Collection[int]
) -> tuple[int, ...]:
    """The places of those who are through with their task; None is all of them.

    Raises:
      InvalidArgumentError: nobody is at a task, or not there; or one place is doubled.
    """
    if not outstanding:
        raise errors.InvalidArgumentError(
            "nothing is asked for that was not told: call ask() first, which also goes"
            " on with what was told before something failed"
        )
    if answers is None:
        return tuple(outstanding)
    given = real_numbers(answers)
    places = []
    if given is not None and given.ndim == 1 and given.dtype.kind in "iu":
        places = given.tolist()
    if not places or len({*places}) < len(places) or not {*places} <= {*outstanding}:
        raise errors.InvalidArgumentError(
            "answers must be places in what ask() returned of those who are through"
            " with their task, as a list of whole numbers out of"
            f" {list(outstanding)}; got {answers!r}"
        )
    return tuple(places)


def _check_listed(new: Demonstrations, fails: np.ndarray) -> None:
    unlisted = (new.task_ids[: len(fails)] < 0) & ~fails
    if unlisted.any():
        row = int(np.argmax(unlisted))
        raise errors.DemonstrationError(
            f"demonstration {row} has the task vector {np.asarray(new.tasks[row])},"
            " which is none of the evaluation tasks, and the selector weighs those"
            " alone: give the vector of one, or tell it with failed=True"
        )
