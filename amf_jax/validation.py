"""Checks of demonstrations on the host, before any work is spent on them."""

from typing import Any

import jax
import numpy as np

from amf_jax import errors
from amf_jax.demonstrations import Demonstrations, check_same_kind, named_leaves
from amf_jax.dtypes import is_finite, real_numbers

#: Fields of demonstrations beside observations, their axes, and what they may hold.
_FIELDS = {
    "actions": (3, "real numbers"),
    "step_mask": (2, "booleans, or 0 and 1"),
    "tasks": (2, "real numbers"),
    "task_ids": (1, "whole numbers of 32 bits"),
    "demo_mask": (1, "booleans, or 0 and 1"),
}


def validate(demos: Any, **sizes: Any) -> None:
    """Checks demonstrations, of which there must be one at least.

    Args:
      demos: to check.
      **sizes: as in `check_form`.

    Raises:
      DemonstrationError: no real row, and as `check_form`.
    """
    check_form(demos, **sizes)
    if not np.asarray(demos.demo_mask).any():
        raise errors.DemonstrationError(
            "every demonstration is masked; demo_mask must hold at least one True"
        )


def check_form(
    demos: Any,
    *,
    observation_size: Any = None,
    action_size: int | None = None,
    task_size: int | None = None,
    num_tasks: int | None = None,
) -> None:
    """Checks a buffer that may be empty.

    Args:
      demos: to check.
      observation_size: width of a state, or what is observed in one step, as a pytree
        of what has shapes; None is any.
      action_size: width of an action, or None.
      task_size: width of a task vector, or None.
      num_tasks: C, the number of evaluation tasks, or None.

    Raises:
      DemonstrationError: as `typed`; also wrong widths or mismatched leading sizes, a
        row without a recorded step, a task id out of range, or NaN/Inf at a recorded
        step (named by demonstration and step), also once it is in the type that is
        computed in.
    """
    arrays = typed(demos)
    rows, horizon = arrays.step_mask.shape
    _check_observations(arrays, observation_size)
    expected = {
        "actions": (rows, horizon, action_size),
        "tasks": (rows, task_size),
        "task_ids": (rows,),
        "demo_mask": (rows,),
    }
    for name, shape in expected.items():
        _check_shape(name, getattr(arrays, name).shape, shape)
    if (np.diff(arrays.demo_mask.astype(int)) > 0).any():
        raise errors.DemonstrationError(
            "demo_mask must be True for the first rows and False for the others: new"
            " demonstrations are written behind as many rows as are True"
        )
    blank = arrays.demo_mask & ~arrays.step_mask.any(axis=1)
    if blank.any():
        raise errors.DemonstrationError(
            f"demonstration {int(np.argmax(blank))} has no recorded step; step_mask"
            " must hold at least one True per demonstration"
        )
    if num_tasks is not None:
        known = (arrays.task_ids >= -1) & (arrays.task_ids < num_tasks)
        wrong = arrays.demo_mask & ~known
        if wrong.any():
            row = int(np.argmax(wrong))
            raise errors.DemonstrationError(
                f"demonstration {row} has task id {int(arrays.task_ids[row])}, but"
                f" there are {num_tasks} tasks (0..{num_tasks - 1}, or -1 for another)"
            )
    _check_finite(arrays)


def _check_observations(arrays: Demonstrations, wanted: Any) -> None:
    """Raises for leaves that are not as wanted, or do not lead with `[N, H]`."""
    leading = arrays.step_mask.shape
    leaves = named_leaves("observations", arrays.observations)
    shapes: list[tuple] = [(*leading, *leaf.shape[2:]) for _, leaf in leaves]
    if isinstance(wanted, int | np.integer):
        shapes = [(*leading, wanted)] * len(leaves)
    elif wanted is not None:
        check_same_kind(arrays.observations, wanted)
        shapes = [(*leading, *np.shape(leaf)) for leaf in jax.tree.leaves(wanted)]
    for (name, leaf), shape in zip(leaves, shapes, strict=True):
        _check_shape(name, leaf.shape, shape)


def _check_shape(name: str, actual: tuple, shape: tuple) -> None:
    fits = len(actual) == len(shape) and all(
        want is None or have == want for have, want in zip(actual, shape, strict=True)
    )
    if not fits:
        wanted = tuple("any" if size is None else size for size in shape)
        raise errors.DemonstrationError(
            f"demonstrations.{name} has shape {actual}, expected {wanted}"
        )


def typed(demos: Any) -> Demonstrations:
    """The same demonstrations as arrays of the host, with masks of booleans.

    Raises:
      DemonstrationError: what is no `Demonstrations`, or a field of another type or of
        another number of axes than it has.

    Example:
      >>> typed({"actions": 1})
      Traceback (most recent call last):
      amf_jax.errors.DemonstrationError: demonstrations must be amf_jax.Dem...
    """
    check_type(demos)
    arrays: dict[str, Any] = {"observations": _observed(demos.observations)}
    for name, (axes, words) in _FIELDS.items():
        array = _typed(name, getattr(demos, name), range(axes, axes + 1), words)
        arrays[name] = (
            array.astype(bool, copy=False) if name.endswith("mask") else array
        )
    return Demonstrations(**arrays)


def _observed(observations: Any) -> Any:
    """Observations as arrays of the host."""
    named = named_leaves("observations", observations)
    if not named:
        raise errors.DemonstrationError(
            "demonstrations.observations must be an array of real numbers, or a pytree"
            f" of such, got {observations!r}"
        )
    least = 3 if named[0][0] == "observations" else 2
    leaves = [
        _typed(name, leaf, range(least, np.iinfo(int).max), "real numbers")
        for name, leaf in named
    ]
    return jax.tree.unflatten(jax.tree.structure(observations), leaves)


def _typed(name: str, given: Any, axes: range, words: str) -> np.ndarray:
    array = real_numbers(given) if hasattr(given, "dtype") else None
    if array is not None and array.ndim in axes and _is_of_kind(name, array):
        return array
    got = type(given).__name__
    if hasattr(given, "dtype") and not np.ma.is_masked(given):
        got = f"{given.dtype} of shape {given.shape}"
    least = "at least " if len(axes) > 1 else ""
    raise errors.DemonstrationError(
        f"demonstrations.{name} must be an array of {words} with {least}{axes.start}"
        f" axes, got {got}"
    )


def check_type(demos: Any) -> None:
    """Raises `DemonstrationError` for what is no `Demonstrations`; also traced."""
    if not isinstance(demos, Demonstrations):
        raise errors.DemonstrationError(
            "demonstrations must be amf_jax.Demonstrations, such as"
            f" demonstrations.empty builds, got {type(demos).__name__}"
        )


def _is_of_kind(name: str, array: np.ndarray) -> bool:
    if name.endswith("mask"):
        whole = array.dtype == bool or np.issubdtype(array.dtype, np.integer)
        return whole and bool(((array == 0) | (array == 1)).all())
    if name == "task_ids":
        bounds = np.iinfo(np.int32)
        whole = np.issubdtype(array.dtype, np.integer)
        fits = (array >= bounds.min) & (array <= bounds.max)
        return whole and bool(fits.all())
    return True


def _check_finite(arrays: Demonstrations) -> None:
    valid = arrays.step_mask & arrays.demo_mask[:, None]
    observed = named_leaves("observations", arrays.observations)
    for name, leaf in (*observed, ("actions", arrays.actions)):
        finite = is_finite(leaf).all(axis=tuple(range(2, leaf.ndim)))
        wrong = valid & ~finite
        if wrong.any():
            row, step = np.argwhere(wrong)[0]
            raise errors.DemonstrationError(
                f"demonstrations.{name} is NaN or infinite in demonstration {row}, step"
                f" {step}; remove the demonstration or mask the step"
            )
    wrong = arrays.demo_mask & ~is_finite(np.asarray(arrays.tasks)).all(axis=-1)
    if wrong.any():
        raise errors.DemonstrationError(
            f"demonstrations.tasks is NaN or infinite in demonstration"
            f" {int(np.argmax(wrong))}"
        )


def is_concrete(tree: Any) -> bool:
    """Whether every array has values that the host can look at."""
    return not any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(tree))
