"""Which of the evaluation tasks an index, or a vector, stands for."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from amf_jax import errors
from amf_jax.demonstrations import Demonstrations
from amf_jax.dtypes import real_numbers


def place(
    table: Float[Array, "K D"], tasks: Float[Array, "*batch D"]
) -> Int[Array, "*batch"]:
    """Where tasks first stand in a table, up to rounding; -1 for those that do not.

    Example:
      >>> print(place(jnp.eye(2), jnp.array([[0.0, 1.0], [0.5, 0.5]])))
      [ 1 -1]
    """
    known = jnp.broadcast_to(table, (*tasks.shape[:-1], *table.shape))
    same = _near(tasks[..., None, :], known, _epsilon(table, tasks))
    found = jnp.where(same.any(axis=-1), jnp.argmax(same, axis=-1), -1)
    return found.astype(jnp.int32)


def listed(ids: Any, vectors: Any, tasks: Any) -> np.ndarray:
    """The ids, with that of the first evaluation task of an equal vector for a -1.

    For hosts, like all below.

    Args:
      ids: `[N]`, from -1 to C - 1.
      vectors: `[N, D]`, equal as in `is_alien`.
      tasks: `[C, D]`.

    Example:
      >>> print(listed([-1, 0, -1], [[0, 1], [1, 0], [5, 5]], np.eye(2)))
      [ 1  0 -1]
    """
    given, known = (np.asarray(x, np.float64) for x in (vectors, tasks))
    same = _near(given[:, None], known[None], _epsilon(vectors, tasks))
    found = np.where(same.any(axis=1), same.argmax(axis=1), -1)
    return np.where(np.asarray(ids) < 0, found, ids).astype(np.int32)


def check_ids(
    ids: Any, num_tasks: int, *, least: int = 0, name: str = "task_ids"
) -> None:
    """Raises if an index is none of an evaluation task's.

    JAX clamps an index that is out of range: it would stand for the last task.

    Args:
      ids: indices, of any shape.
      num_tasks: C, the number of evaluation tasks.
      least: 0, or -1 where that stands for a task that is none of them.
      name: of the argument, for the message.

    Raises:
      InvalidArgumentError: an index out of range, or what is no whole number.

    Example:
      >>> check_ids([0, 99], 3)
      Traceback (most recent call last):
      amf_jax.errors.InvalidArgumentError: task_ids must be whole numbers from 0 to 2...
    """
    array = real_numbers(ids)
    whole = array is not None and (
        array.size == 0 or np.issubdtype(array.dtype, np.integer)
    )
    if array is not None and whole:
        wrong = array[(array < least) | (array >= num_tasks)]
        if not wrong.size:
            return
        ids = wrong[:5].tolist()
    raise errors.InvalidArgumentError(
        f"{name} must be whole numbers from {least} to {num_tasks - 1}, since there are"
        f" {num_tasks} tasks; got {ids}"
    )


def is_alien(ids: Any, vectors: Any, tasks: Any) -> np.ndarray:
    """Rows whose task vector is not that of the evaluation task of their index.

    A vector may be rounded to the narrower of both floating types. Rows of index -1,
    which is none of these tasks, may hold anything.

    Args:
      ids: `[N]`, from -1 to C - 1 where it matters.
      vectors: `[N, D]`.
      tasks: `[C, D]`.

    Example:
      >>> print(is_alien([0, 1, -1], [[1, 0], [1, 0], [5, 5]], np.eye(2)))
      [False  True False]
    """
    ids, epsilon = np.asarray(ids), _epsilon(vectors, tasks)
    given, known = (np.asarray(x, np.float64) for x in (vectors, tasks))
    return (ids >= 0) & ~_near(given, known[np.clip(ids, 0, len(known) - 1)], epsilon)


def check_own(demos: Demonstrations, tasks: Any, before: int = 0) -> None:
    """Raises if a demonstration's task vector is not that of its task id.

    Args:
      demos: with task ids from -1 to C - 1.
      tasks: evaluation tasks `[C, D]`.
      before: demonstrations that came before, for the message.

    Raises:
      DemonstrationError: naming the first of them.
    """
    alien = np.asarray(demos.demo_mask) & is_alien(demos.task_ids, demos.tasks, tasks)
    if alien.any():
        row = int(np.argmax(alien))
        raise errors.DemonstrationError(
            f"demonstration {before + row} has task id {int(demos.task_ids[row])} and"
            f" the task vector {np.asarray(demos.tasks[row])}, which is not the"
            " evaluation task's of that id; give the task's own vector, or the id -1"
        )


def _near(given: Any, known: Any, epsilon: float) -> Any:
    """Which vectors are the known ones, but for rounding."""
    return (abs(given - known) <= epsilon * abs(known)).all(axis=-1)


def _epsilon(*arrays: Any) -> float:
    """Of the narrowest floating type; 0 for integers, which are not rounded."""
    typed = (x if hasattr(x, "dtype") else np.asarray(x) for x in arrays)
    floating = [x.dtype for x in typed if jnp.issubdtype(x.dtype, jnp.floating)]
    return max((float(jnp.finfo(dtype).eps) for dtype in floating), default=0.0)
