"""Continuous task spaces: a box of task vectors, or a part of one."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from amf_jax import errors


def _whole_box(tasks: Float[Array, "K D"]) -> Float[Array, "K D"]:
    return tasks


class TaskSpace(NamedTuple):
    """A continuous set of tasks.

    Attributes:
      sample: `(key, count) -> [count, D]`, draws from the set.
      lower: least value of each coordinate, `[D]`.
      upper: largest value of each coordinate, `[D]`.
      project: `(points [K, D]) -> [K, D]`, moves points of the box to tasks near them
        and leaves tasks where they are; differentiable at tasks. By default every point
        of the box is a task.
    """

    sample: Callable
    lower: ArrayLike
    upper: ArrayLike
    project: Callable = _whole_box


def check_space(space: TaskSpace) -> int:
    """Checks the box of a task space and returns D, the width of its tasks.

    Raises:
      InvalidArgumentError: bounds that are not two vectors of one width, not finite, or
        not in order.
    """
    lower, upper = np.asarray(space.lower), np.asarray(space.upper)
    if not (lower.dtype.kind in "iuf" and upper.dtype.kind in "iuf"):
        raise errors.InvalidArgumentError(
            f"lower and upper must be numbers, got {space.lower!r} and {space.upper!r}"
        )
    if lower.ndim != 1 or lower.size == 0 or lower.shape != upper.shape:
        raise errors.InvalidArgumentError(
            "lower and upper must be two vectors as wide as a task, [D]; got shapes"
            f" {lower.shape} and {upper.shape}"
        )
    if not (np.isfinite(lower).all() and np.isfinite(upper).all()):
        raise errors.InvalidArgumentError(
            f"lower and upper must be finite, got {lower} and {upper}"
        )
    if not (lower < upper).all():
        raise errors.InvalidArgumentError(
            f"lower must be below upper in every coordinate, got {lower} and {upper}"
        )
    return lower.size


def widths(space: TaskSpace, like: Array) -> Float[Array, "1 D"]:
    """Edges of the box, in the floating type of `like`."""
    edges = np.asarray(space.upper) - np.asarray(space.lower)
    return jnp.asarray(edges, like.dtype)[None]


def tasks_near(space: TaskSpace, points: Float[Array, "K D"]) -> Float[Array, "K D"]:
    """Points of anywhere, moved into the box and there to tasks.

    Example:
      >>> space = TaskSpace(None, lower=np.zeros(2), upper=np.ones(2))
      >>> print(tasks_near(space, jnp.array([[0.3, 1.7]])))
      [[0.3 1. ]]
    """
    lower, upper = (
        jnp.asarray(bound, points.dtype)[None] for bound in (space.lower, space.upper)
    )
    return space.project(jnp.clip(points, lower, upper)).astype(points.dtype)
