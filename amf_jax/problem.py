"""What a fine-tuning run is given, checked on the host before any round is spent."""

from collections.abc import Mapping
from typing import Any, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from amf_jax import demonstrations as demonstrations_lib
from amf_jax import encoders, errors, ranges, task_table, validation
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
        if encoder is not None:
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
            check_fit(given, demos, tasks, encoder)
    return demos


def check_fit(
    given: Demonstrations, demos: Demonstrations, tasks: Array, encoder: Encoder | None
) -> None:
    """Raises `DemonstrationError` for what is malformed, or unlike the buffer."""
    observed = demonstrations_lib.observation_spec(demos)
    validation.validate(
        given,
        observation_size=observed if encoder is None else encoder.observed,
        action_size=demos.actions.shape[2],
        task_size=tasks.shape[1],
        num_tasks=tasks.shape[0],
    )
    task_table.check_own(given, tasks)


def check_success(success: Any | None, num_tasks: int) -> None:
    """Checks an evaluation's success, which selectors may look at; None is none.

    Of what is traced, the shape alone.

    Raises:
      InvalidArgumentError: not one number per task, which may be NaN but not infinite.
    """
    if success is None:
        return
    known = validation.is_concrete(success)
    rates: Any = real_numbers(success) if known else jnp.asarray(success)
    fits = rates is not None and rates.shape == (num_tasks,)
    if not fits or (known and not (is_finite(rates) | np.isnan(rates)).all()):
        raise errors.InvalidArgumentError(
            f"evaluate must return one number per task as 'success', {num_tasks} in"
            f" all (NaN where there is none), or None; got {success}"
        )


def _check_holds_features(demos: Demonstrations, encoder: Encoder) -> None:
    wanted, held = (
        jax.tree.map(lambda leaf: leaf.shape, spec)
        for spec in (
            encoders.feature_spec(encoder),
            demonstrations_lib.observation_spec(demos),
        )
    )
    if wanted != held:
        raise errors.DemonstrationError(
            f"demos must hold features of the encoder, of shapes {wanted} in one step,"
            f" but holds {held}; build it by demonstrations.empty with"
            " encoders.feature_spec(encoder)"
        )
