"""What a fine-tuning run is given, checked on the host before any round is spent."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from amf_jax import demonstrations as demonstrations_lib
from amf_jax import encoders, errors, ranges, validation
from amf_jax.demonstrations import Demonstrations
from amf_jax.dtypes import compute_dtype, is_finite, real_numbers
from amf_jax.encoders import Encoder


def check_tasks(tasks: Any, task_names: tuple[str, ...] | None) -> Array:
    """The evaluation tasks as an array `[C, D]` of floats, also if given as integers.

    Raises:
      InvalidArgumentError: no task, what is no array of real numbers, a value that is
        not finite in the type of the result, or names that do not match.
    """
    given, tasks = tasks, real_numbers(tasks)
    if tasks is None:
        raise errors.InvalidArgumentError(
            f"tasks must be an array [C, D] of real numbers, got {given!r}"
        )
    if tasks.ndim != 2 or tasks.shape[0] == 0:
        raise errors.InvalidArgumentError(
            f"tasks must hold at least one task vector, as [C, D]; got {tasks.shape}"
        )
    if not is_finite(tasks).all():
        raise errors.InvalidArgumentError("tasks must be finite, but holds NaN or inf")
    if task_names is not None and len(task_names) != tasks.shape[0]:
        raise errors.InvalidArgumentError(
            f"task_names must name {tasks.shape[0]} tasks, got {task_names}"
        )
    return jnp.asarray(tasks, compute_dtype(tasks))


def check_weights(task_weights: Any | None, tasks: Any) -> Float[Array, " C"]:
    """The probabilities mu_C of the tasks `[C, D]`; uniform if none are given.

    Raises:
      InvalidArgumentError: negative weights, or weights that do not sum to one.
    """
    count, dtype = tasks.shape[0], compute_dtype(tasks)
    if task_weights is None:
        return jnp.full((count,), 1.0 / count, dtype)
    weights = real_numbers(task_weights)
    if weights is None or weights.shape != (count,) or (weights < 0).any():
        raise errors.InvalidArgumentError(
            f"task_weights must be {count} numbers that are not negative, got"
            f" {task_weights}"
        )
    weights = weights.astype(float)
    if not np.isclose(weights.sum(), 1.0, atol=1e-6):
        raise errors.InvalidArgumentError(
            f"task_weights must sum to 1, got {weights.sum():.6g}; divide by their sum"
        )
    return jnp.asarray(weights, dtype)


def check_positive(numbers: Mapping[str, SupportsIndex]) -> None:
    """Raises `InvalidArgumentError` naming the first number that counts nothing."""
    for name, value in numbers.items():
        ranges.check(name, value, ranges.COUNT)


def buffer(
    demos: Demonstrations | None,
    pretraining: Demonstrations | None,
    history: Demonstrations | None,
    tasks: Array,
    budget: int,
    encoder: Encoder | None = None,
) -> Demonstrations:
    """The buffer to collect into, with room for the whole budget.

    Args:
      demos: an empty buffer, or None for one of the shape of `pretraining`.
      pretraining: demonstrations, checked against the buffer; or None.
      history: the same.
      tasks: evaluation tasks.
      budget: demonstrations that will be collected.
      encoder: of what `pretraining` and `history` observe, or None: the buffer holds
        features.

    Raises:
      InvalidArgumentError: neither of the two is given, or the encoder has no features
        under some task.
      CapacityError: the budget does not fit.
      DemonstrationError: the demonstrations or the buffer are malformed, or it is not
        empty.
    """
    if encoder is not None:
        encoders.check_tasks(encoder, tasks, "task")
    held: Any = pretraining
    if demos is not None:
        validation.check_form(demos, task_size=tasks.shape[1])
        _check_holds_features(demos, encoder)
        if count := np.count_nonzero(demos.demo_mask):
            raise errors.DemonstrationError(
                f"demos must be an empty buffer, but holds {count} demonstrations; give"
                " them as pretraining or history, and a buffer from"
                " demonstrations.empty_like"
            )
        demonstrations_lib.check_room(demos, budget)
    elif pretraining is not None:
        if encoder is not None:
            validation.check_form(pretraining, observation_size=encoder.observed)
            held = jax.eval_shape(encoders.traced, encoder, pretraining)
        demos = demonstrations_lib.empty_like(held, budget)
    else:
        raise errors.InvalidArgumentError(
            "demos must be given where pretraining is not: an empty buffer from"
            " demonstrations.empty, which says how wide states and actions are"
        )
    for given in (pretraining, history):
        if given is not None:
            _check_fit(given, demos, tasks, encoder)
    return demos


def check_delivery(
    new: Demonstrations,
    demos: Demonstrations,
    tasks: Array,
    task_id: int,
    count: int,
    encoder: Encoder | None = None,
) -> None:
    """Checks that the expert delivered what it was asked for.

    Raises:
      DemonstrationError: malformed demonstrations, too many steps, another number of
        them, another task, or a task vector that is not the task's.
    """
    _check_fit(new, demos, tasks, encoder)
    _check_steps(new, demos)
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


def attempts(
    new: Demonstrations | Iterable[Any] | None,
    failed: Any,
    demos: Demonstrations,
    tasks: Array,
    encoder: Encoder | None = None,
    listed_tasks: bool = False,
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
        _check_fit(new, demos, tasks, encoder)
        _check_steps(new, demos)
        ids = validation.listed(new.task_ids, new.tasks, tasks)
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
    return as_rows(new, count, demos, encoder), tuple(fails.tolist())


def as_rows(
    new: Demonstrations | None,
    count: int,
    demos: Demonstrations,
    encoder: Encoder | None = None,
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
    held, capacity = int(demonstrations_lib.count(demos)), demos.demo_mask.shape[0]
    if held + extra > capacity:
        raise errors.CapacityError(
            f"the run holds {held} of {capacity} demonstrations (rounds × batch ×"
            f" demos_per_round, or the capacity of demos) and has no room for {extra}"
            " more: tell fewer, or close it, open it again from its checkpoint_dir with"
            f" rounds={-(-(held + extra) // per_round)} or more, and tell it then"
        )


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


def check_success(success: Any | None, num_tasks: int) -> None:
    """Checks an evaluation's success, which selectors may look at; None is none.

    Raises:
      InvalidArgumentError: not one number per task, which may be NaN but not infinite.
    """
    if success is None:
        return
    rates = real_numbers(success)
    if (
        rates is None
        or rates.shape != (num_tasks,)
        or not (is_finite(rates) | np.isnan(rates)).all()
    ):
        raise errors.InvalidArgumentError(
            f"evaluate must return one number per task as 'success', {num_tasks} in"
            f" all (NaN where there is none), or None; got {success}"
        )


def _check_listed(new: Demonstrations, fails: np.ndarray) -> None:
    unlisted = (new.task_ids[: len(fails)] < 0) & ~fails
    if unlisted.any():
        row = int(np.argmax(unlisted))
        raise errors.DemonstrationError(
            f"demonstration {row} has the task vector {np.asarray(new.tasks[row])},"
            " which is none of the evaluation tasks, and the selector weighs those"
            " alone: give the vector of one, or tell it with failed=True"
        )


def _check_steps(new: Demonstrations, demos: Demonstrations) -> None:
    steps, horizon = new.step_mask.shape[1], demos.step_mask.shape[1]
    if steps > horizon:
        raise errors.DemonstrationError(
            f"demonstrations of {steps} steps were delivered; the buffer has room for"
            f" {horizon}: shorten them, or begin a run anew whose pretraining, or demos"
            " if given, has a longer horizon"
        )


def _check_holds_features(demos: Demonstrations, encoder: Encoder | None) -> None:
    if encoder is None:
        return
    wanted = encoders.feature_spec(encoder)
    held = demonstrations_lib.observation_spec(demos)
    kinds = [
        (jax.tree.structure(spec), [leaf.shape for leaf in jax.tree.leaves(spec)])
        for spec in (wanted, held)
    ]
    if kinds[0] != kinds[1]:
        raise errors.DemonstrationError(
            f"demos must hold features of the encoder, which are {wanted} in one step,"
            f" but holds {held}; build it by demonstrations.empty with"
            " encoders.feature_spec(encoder)"
        )


def _check_fit(
    given: Demonstrations, demos: Demonstrations, tasks: Array, encoder: Encoder | None
) -> None:
    observed = demonstrations_lib.observation_spec(demos)
    validation.validate(
        given,
        observation_size=observed if encoder is None else encoder.observed,
        action_size=demos.actions.shape[2],
        task_size=tasks.shape[1],
        num_tasks=tasks.shape[0],
    )
    validation.check_own_tasks(given, tasks)
