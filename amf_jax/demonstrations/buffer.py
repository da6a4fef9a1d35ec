"""Demonstrations: the padded, masked pytree that everything passes around."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree, Shaped

from amf_jax import errors, memory, ranges
from amf_jax.dtypes import compute_dtype, real_numbers


class Demonstrations(NamedTuple):
    """A fixed-capacity buffer of expert demonstrations.

    Shapes never change while demonstrations arrive, so nothing that consumes the
    buffer is compiled twice. Rows are filled from the front; `demo_mask` says which
    are real, `step_mask` which steps of a real row are.

    Attributes:
      observations: states `s_t`, in the units of the environment: vectors `[N, H, S]`,
        or any pytree whose leaves lead with `[N, H]`, of any type of real numbers, such
        as a dict of joint angles and the bytes of images.
      actions: expert actions `a_t`.
      step_mask: True where a step was recorded; demonstrations may differ in length.
      tasks: the task vector `c` (coordinates or a sentence embedding) of each row.
      task_ids: index of that task among the evaluation tasks; -1 where it is none of
        them (a continuous task space).
      demo_mask: True where a row holds a demonstration.
    """

    observations: PyTree[Shaped[Array, "N H ..."]]
    actions: Float[Array, "N H A"]
    step_mask: Bool[Array, "N H"]
    tasks: Float[Array, "N D"]
    task_ids: Int[Array, " N"]
    demo_mask: Bool[Array, " N"]


def empty(
    capacity: int,
    horizon: int,
    observation_size: Any,
    action_size: int,
    task_size: int,
    dtype=jnp.float32,
) -> Demonstrations:
    """An empty buffer with room for `capacity` demonstrations of `horizon` steps.

    Args:
      capacity: demonstrations.
      horizon: steps of each.
      observation_size: width of a state; or a pytree of `jax.ShapeDtypeStruct`, what
        is observed in one step.
      action_size: width of an action.
      task_size: width of a task vector.
      dtype: of observations that are vectors. Actions and tasks are real numbers, of
        the widest floating type of what is observed, and at least float32.

    Raises:
      InvalidArgumentError: for a size that is no whole number of at least 1, or a type
        that is none of real numbers.
      CapacityError: for more steps than 32 bits count.
      MemoryBudgetError: for more than there is memory.

    Example:
      >>> image = jax.ShapeDtypeStruct((8, 8, 3), jnp.uint8)
      >>> demos = empty(4, 5, {"image": image}, action_size=2, task_size=3)
      >>> print(demos.observations["image"].shape, demos.actions.dtype)
      (4, 5, 8, 8, 3) float32
    """
    sizes = dict(
        capacity=capacity, horizon=horizon, action_size=action_size, task_size=task_size
    )
    for name, value in sizes.items():
        ranges.check(name, value, ranges.COUNT)
    observed = _observed(observation_size, dtype)
    floating = compute_dtype(observed)
    row: list[Any] = [
        jax.ShapeDtypeStruct((horizon, action_size), floating),
        jax.ShapeDtypeStruct((horizon,), bool),
        jax.ShapeDtypeStruct((task_size,), floating),
        jax.ShapeDtypeStruct((), jnp.int32),
        jax.ShapeDtypeStruct((), bool),
    ]
    observations = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((horizon, *leaf.shape), leaf.dtype), observed
    )
    return _zeros(capacity, Demonstrations(observations, *row))


def _observed(observation_size: Any, dtype: Any) -> Any:
    """What is observed in one step, as `jax.ShapeDtypeStruct`."""
    leaves = jax.tree.leaves(observation_size)
    if not leaves or not all(isinstance(x, jax.ShapeDtypeStruct) for x in leaves):
        ranges.check("observation_size", observation_size, ranges.COUNT)
        observation_size = jax.ShapeDtypeStruct((observation_size,), _real_type(dtype))
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, _real_type(leaf.dtype)),
        observation_size,
    )


def observation_spec(demos: Demonstrations) -> Any:
    """What is observed in one step: `jax.ShapeDtypeStruct` for each leaf."""
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(jnp.shape(leaf)[2:], jnp.result_type(leaf)),
        demos.observations,
    )


def _real_type(dtype: Any) -> np.dtype:
    """A type of real numbers, as JAX has it."""
    try:
        dtype = jnp.dtype(dtype)
    except TypeError:
        known = False
    else:
        known = real_numbers(np.empty(0, dtype)) is not None
    if not known:
        raise errors.InvalidArgumentError(
            f"dtype must be a type of real numbers, such as jnp.float32, got {dtype!r}"
        )
    return jax.dtypes.canonicalize_dtype(dtype)


def empty_like(demos: Demonstrations, capacity: int) -> Demonstrations:
    """An empty buffer for more of the kind of these, of the types that they have.

    Raises:
      InvalidArgumentError: for a capacity that is no whole number of at least 1.
      CapacityError: for more steps than 32 bits count.
      MemoryBudgetError: for more than there is memory.
    """
    ranges.check("capacity", capacity, ranges.COUNT)
    rows = jax.eval_shape(lambda demos: _first(as_arrays(demos)), demos)
    return _zeros(capacity, rows)


def _first(demos: Demonstrations) -> Demonstrations:
    return jax.tree.map(lambda leaf: leaf[0], demos)


def _zeros(capacity: int, one: Demonstrations) -> Demonstrations:
    """A buffer of rows of the shapes and types of one, if there is memory for it.

    Asked first: an operating system may promise what it kills a process for using.
    """
    (horizon,) = one.step_mask.shape
    if capacity * horizon >= 2**31:
        raise errors.CapacityError(
            f"{capacity} demonstrations of {horizon} steps are {capacity * horizon}"
            f" steps, more than the {2**31 - 1} that 32 bits count; take fewer or"
            " shorter ones, or `streaming.select` for a pool that is read in parts"
        )
    row = sum(
        math.prod(leaf.shape) * jnp.dtype(leaf.dtype).itemsize
        for leaf in jax.tree.leaves(one)
    )
    memory.check(
        f"a buffer for {capacity} demonstrations of {horizon} steps",
        capacity * row,
        lambda left: f"there is room for a capacity of {left // row}",
    )
    blank = jax.tree.map(
        lambda leaf: jnp.zeros((capacity, *leaf.shape), leaf.dtype), one
    )
    return blank._replace(task_ids=blank.task_ids - 1)


def as_arrays(demos: Demonstrations) -> Demonstrations:
    """As JAX arrays to compute with, whatever they were given as.

    Actions and tasks are real numbers, in at least single precision, also where they
    are whole: what is computed of them takes their type. Masks of 0 and 1 become those
    of booleans, since numbers would index rows, and wrap when they are counted.
    """

    def real(values) -> Array:
        values = jnp.asarray(values)
        return values.astype(compute_dtype(values))

    demos = jax.tree.map(jnp.asarray, demos)
    return with_masks(demos)._replace(
        actions=real(demos.actions),
        tasks=real(demos.tasks),
        task_ids=demos.task_ids.astype(jnp.int32),
    )


def with_masks(demos: Demonstrations) -> Demonstrations:
    """The same demonstrations with masks of booleans."""
    step_mask, demo_mask = demos.step_mask, demos.demo_mask
    return demos._replace(
        step_mask=step_mask.astype(bool), demo_mask=demo_mask.astype(bool)
    )


def count(demos: Demonstrations) -> Int[Array, ""]:
    """The number of demonstrations held, as a traced integer."""
    return demos.demo_mask.sum(dtype=jnp.int32)


def valid_steps(demos: Demonstrations) -> Bool[Array, "N H"]:
    """True for the recorded steps of real demonstrations."""
    demos = with_masks(demos)
    return demos.step_mask & demos.demo_mask[:, None]


def fill_padding(demos: Demonstrations) -> Demonstrations:
    """The same demonstrations with recorded values wherever nothing was recorded.

    Padding may hold anything, NaN included, which a weight of zero would let through;
    and what is no state or task, such as zeros, may have no action: a policy may divide
    by the norm of a quaternion. So a demonstration's first recorded step stands in for
    its other steps, and the first demonstration for rows that hold none. What is
    computed there means nothing, and is as finite as what is computed of the rest.

    Without any recorded step there is nothing to fill with, and zeros stand in. As in
    `as_arrays`, actions and tasks are floating.

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
    demos = as_arrays(demos)
    recorded = valid_steps(demos)
    known = recorded.any(axis=1)
    row = jnp.where(known, jnp.arange(known.size), jnp.argmax(known))
    time = jnp.argmax(recorded[row], axis=1)

    def filled(values: Array) -> Array:
        first = jnp.where(known.any(), values[row, time], 0)
        is_known = jnp.expand_dims(recorded, range(2, values.ndim))
        return jnp.where(is_known, values, first[:, None])

    return demos._replace(
        observations=jax.tree.map(filled, demos.observations),
        actions=filled(demos.actions),
        tasks=filled_tasks(demos),
    )


def filled_tasks(demos: Demonstrations) -> Float[Array, "N D"]:
    """Task vectors, with that of the first demonstration in rows that hold none."""
    held = demos.demo_mask
    first = jnp.where(held.any(), demos.tasks[jnp.argmax(held)], 0)
    return jnp.where(held[:, None], demos.tasks, first[None])
