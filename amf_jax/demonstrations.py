"""Demonstrations: the padded, masked pytree that everything passes around."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from amf_jax import errors


class Demonstrations(NamedTuple):
    """A fixed-capacity buffer of expert demonstrations.

    Shapes never change while demonstrations arrive, so nothing that consumes the
    buffer is compiled twice. Rows are filled from the front; `demo_mask` says which
    are real, `step_mask` which steps of a real row are.

    Attributes:
      observations: states `s_t`, in the units of the environment.
      actions: expert actions `a_t`.
      step_mask: True where a step was recorded; demonstrations may differ in length.
      tasks: the task vector `c` (coordinates or a sentence embedding) of each row.
      task_ids: index of that task among the evaluation tasks; -1 where it is none of
        them (a continuous task space).
      demo_mask: True where a row holds a demonstration.
    """

    observations: Float[Array, "N H S"]
    actions: Float[Array, "N H A"]
    step_mask: Bool[Array, "N H"]
    tasks: Float[Array, "N D"]
    task_ids: Int[Array, " N"]
    demo_mask: Bool[Array, " N"]


def empty(
    capacity: int,
    horizon: int,
    observation_size: int,
    action_size: int,
    task_size: int,
    dtype=jnp.float32,
) -> Demonstrations:
    """An empty buffer with room for `capacity` demonstrations of `horizon` steps."""
    sizes = dict(
        capacity=capacity,
        horizon=horizon,
        observation_size=observation_size,
        action_size=action_size,
        task_size=task_size,
    )
    for name, value in sizes.items():
        if value < 1:
            raise errors.InvalidArgumentError(f"{name} must be at least 1, got {value}")
    return Demonstrations(
        observations=jnp.zeros((capacity, horizon, observation_size), dtype),
        actions=jnp.zeros((capacity, horizon, action_size), dtype),
        step_mask=jnp.zeros((capacity, horizon), bool),
        tasks=jnp.zeros((capacity, task_size), dtype),
        task_ids=jnp.full((capacity,), -1, jnp.int32),
        demo_mask=jnp.zeros((capacity,), bool),
    )


def count(demos: Demonstrations) -> Int[Array, ""]:
    """The number of demonstrations held, as a traced integer."""
    return demos.demo_mask.sum(dtype=jnp.int32)


def valid_steps(demos: Demonstrations) -> Bool[Array, "N H"]:
    """True for the recorded steps of real demonstrations."""
    return demos.step_mask & demos.demo_mask[:, None]


def fill_padding(demos: Demonstrations) -> Demonstrations:
    """The same demonstrations with recorded values wherever nothing was recorded.

    Padding may hold anything, NaN included, which a weight of zero would let through;
    and what is no state or task, such as zeros, may have no action: a policy may divide
    by the norm of a quaternion. So a demonstration's first recorded step stands in for
    its other steps, and the first demonstration for rows that hold none. What is
    computed there means nothing, and is as finite as what is computed of the rest.

    Without any recorded step there is nothing to fill with, and zeros stand in.

    Example:
      >>> blank = empty(2, 2, observation_size=1, action_size=1, task_size=1)
      >>> demos = blank._replace(
      ...     observations=jnp.array([[[3.0], [jnp.nan]], [[0.0], [0.0]]]),
      ...     step_mask=jnp.array([[True, False], [False, False]]),
      ...     demo_mask=jnp.array([True, False]),
      ... )
      >>> print(fill_padding(demos).observations[..., 0])
      [[3. 3.]
       [3. 3.]]
    """
    recorded = valid_steps(demos)
    known = recorded.any(axis=1)
    row = jnp.where(known, jnp.arange(known.size), jnp.argmax(known))
    time = jnp.argmax(recorded[row], axis=1)

    def filled(values: Array) -> Array:
        first = jnp.where(known.any(), values[row, time], 0)
        return jnp.where(recorded[..., None], values, first[:, None])

    return demos._replace(
        observations=filled(demos.observations),
        actions=filled(demos.actions),
        tasks=filled_tasks(demos),
    )


def filled_tasks(demos: Demonstrations) -> Float[Array, "N D"]:
    """Task vectors, with that of the first demonstration in rows that hold none."""
    held = demos.demo_mask
    first = jnp.where(held.any(), demos.tasks[jnp.argmax(held)], 0)
    return jnp.where(held[:, None], demos.tasks, first[None])


def append(demos: Demonstrations, new: Demonstrations) -> Demonstrations:
    """Writes all rows of `new` behind the ones held, without changing any shape.

    Pure and jittable; the position is a traced number, so successive appends share one
    compilation. `new` must be full (every `demo_mask` True), and its rows must fit:
    `check_room` raises on the host, where the count is known.

    Example:
      >>> blank = empty(3, horizon=5, observation_size=2, action_size=1, task_size=4)
      >>> one = empty(1, 5, 2, 1, 4)._replace(demo_mask=jnp.ones(1, bool))
      >>> held = append(append(blank, one), one)
      >>> print(count(held), held.demo_mask)
      2 [ True  True False]
    """
    start = count(demos)

    def write(buffer, rows):
        return jax.lax.dynamic_update_slice_in_dim(
            buffer, rows.astype(buffer.dtype), start, 0
        )

    return jax.tree.map(write, demos, new)


def check_room(demos: Demonstrations, extra: int) -> None:
    """Raises `CapacityError` if `extra` more demonstrations do not fit."""
    held, capacity = int(count(demos)), demos.demo_mask.shape[0]
    if held + extra > capacity:
        raise errors.CapacityError(
            f"the buffer holds {held} of {capacity} demonstrations and has no room for"
            f" {extra} more; build it with capacity >= {held + extra}, or call reserve"
        )


def reserve(demos: Demonstrations, extra: int) -> Demonstrations:
    """A buffer with room for `extra` more, of twice the capacity as often as needed.

    For loops without a known budget: n demonstrations take about log2 n capacities, so
    that what consumes the buffer is compiled as often, and no row is copied more than
    twice on average. Outside jit, since shapes change. See `selectors.carry_over` for
    what a selector remembers.

    Example:
      >>> held = empty(3, horizon=5, observation_size=2, action_size=1, task_size=4)
      >>> print(reserve(held, 3).demo_mask.shape, reserve(held, 4).demo_mask.shape)
      (3,) (6,)
    """
    capacity = demos.demo_mask.shape[0]
    needed = int(count(demos)) + extra
    while capacity < needed:
        capacity *= 2
    missing = capacity - demos.demo_mask.shape[0]
    if not missing:
        return demos
    horizon, observation_size = demos.observations.shape[1:]
    blank = empty(
        missing,
        horizon,
        observation_size,
        demos.actions.shape[2],
        demos.tasks.shape[1],
        dtype=demos.observations.dtype,
    )
    return stack([demos, blank])


def validate(
    demos: Demonstrations,
    *,
    observation_size: int | None = None,
    action_size: int | None = None,
    task_size: int | None = None,
    num_tasks: int | None = None,
) -> None:
    """Checks demonstrations on the host, before any work is spent on them.

    Raises:
      DemonstrationError: wrong widths or mismatched leading sizes, no real row, a row
        without a recorded step, a task id out of range, or NaN/Inf at a recorded step
        (named by demonstration and step).
    """
    arrays = jax.tree.map(np.asarray, demos)
    rows, horizon = arrays.step_mask.shape
    expected = {
        "observations": (rows, horizon, observation_size),
        "actions": (rows, horizon, action_size),
        "tasks": (rows, task_size),
        "task_ids": (rows,),
        "demo_mask": (rows,),
    }
    for name, shape in expected.items():
        actual = getattr(arrays, name).shape
        fits = len(actual) == len(shape) and all(
            want is None or have == want
            for have, want in zip(actual, shape, strict=True)
        )
        if not fits:
            wanted = tuple("any" if size is None else size for size in shape)
            raise errors.DemonstrationError(
                f"demonstrations.{name} has shape {actual}, expected {wanted}"
            )
    if not arrays.demo_mask.any():
        raise errors.DemonstrationError(
            "every demonstration is masked; demo_mask must hold at least one True"
        )
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


def _check_finite(arrays: Demonstrations) -> None:
    valid = arrays.step_mask & arrays.demo_mask[:, None]
    for name in ("observations", "actions"):
        wrong = valid & ~np.isfinite(getattr(arrays, name)).all(axis=-1)
        if wrong.any():
            row, step = np.argwhere(wrong)[0]
            raise errors.DemonstrationError(
                f"demonstrations.{name} is NaN or infinite in demonstration {row}, step"
                f" {step}; remove the demonstration or mask the step"
            )
    wrong = arrays.demo_mask & ~np.isfinite(arrays.tasks).all(axis=-1)
    if wrong.any():
        raise errors.DemonstrationError(
            f"demonstrations.tasks is NaN or infinite in demonstration"
            f" {int(np.argmax(wrong))}"
        )


def stack(parts: list[Demonstrations]) -> Demonstrations:
    """Concatenates buffers along the demonstration axis."""
    return jax.tree.map(lambda *rows: jnp.concatenate(rows), *parts)


def subsample(
    key: Key[Array, ""], demos: Demonstrations, size: int | None
) -> tuple[Demonstrations, Int[Array, " M"]]:
    """At most `size` of the demonstrations at hand, uniformly without replacement.

    Returns:
      A buffer of `size` rows (all of `demos` if `size` is None or not smaller), whose
      surplus rows are masked, and the rows they came from.
    """
    capacity = demos.demo_mask.shape[0]
    if size is None or size >= capacity:
        return demos, jnp.arange(capacity)
    priority = jax.random.uniform(key, (capacity,))
    _, rows = jax.lax.top_k(jnp.where(demos.demo_mask, priority, -1.0), size)
    return jax.tree.map(lambda array: array[rows], demos), rows
