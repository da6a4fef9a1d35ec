"""Writing demonstrations to buffers: behind those held, in larger ones, or in parts."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Key

from amf_jax import errors, ranges
from amf_jax.demonstrations.buffer import (
    Demonstrations,
    count,
    empty_like,
    with_masks,
)


def append(demos: Demonstrations, new: Demonstrations) -> Demonstrations:
    """Writes all rows of `new` behind the ones held, without changing any shape.

    Pure and jittable; the position is a traced number, so successive appends share one
    compilation. `new` must be full (every `demo_mask` True), and its rows must fit:
    `check_room` raises on the host, where the count is known. Values take the types of
    the buffer, whose masks become booleans; demonstrations of fewer steps leave the
    others masked.

    Raises:
      DemonstrationError: where widths differ, steps do not fit, or numbers with
        fractions would be written to a buffer of whole ones.

    Example:
      >>> from amf_jax.demonstrations import empty
      >>> blank = empty(3, horizon=5, observation_size=2, action_size=1, task_size=4)
      >>> one = empty(1, 5, 2, 1, 4)._replace(demo_mask=jnp.ones(1, bool))
      >>> held = append(append(blank, one), one)
      >>> print(count(held), held.demo_mask)
      2 [ True  True False]
    """
    demos, new = (with_masks(jax.tree.map(jnp.asarray, one)) for one in (demos, new))
    _check_written(demos, new)
    start = count(demos)

    def write(buffer, rows):
        return jax.lax.dynamic_update_slice_in_dim(
            buffer, rows.astype(buffer.dtype), start, 0
        )

    return jax.tree.map(write, demos, new)


def _check_written(demos: Demonstrations, new: Demonstrations) -> None:
    """Raises where a write would be partial or lossy, by shapes and types alone."""
    check_same_kind(new.observations, demos.observations)
    names = ("observations", "actions", "tasks")
    held, given = (
        [entry for name in names for entry in named_leaves(name, getattr(one, name))]
        for one in (demos, new)
    )
    for (name, buffer), (_, rows) in zip(held, given, strict=True):
        lead = 1 if name == "tasks" else 2
        if rows.shape[lead:] != buffer.shape[lead:]:
            raise errors.DemonstrationError(
                f"demonstrations.{name} is {_width(rows.shape[lead:])} wide, and the"
                f" buffer's {_width(buffer.shape[lead:])}"
            )
        whole = not jnp.issubdtype(buffer.dtype, jnp.floating)
        if not np.can_cast(rows.dtype, buffer.dtype, "safe" if whole else "same_kind"):
            raise errors.DemonstrationError(
                f"demonstrations.{name} is of {rows.dtype} and the buffer of"
                f" {buffer.dtype}, which cannot hold it; build the buffer with"
                f" dtype={rows.dtype}"
            )
    (rows, steps), (capacity, horizon) = new.step_mask.shape, demos.step_mask.shape
    if rows > capacity:
        raise errors.CapacityError(
            f"{rows} demonstrations do not fit a buffer of {capacity}"
        )
    if steps > horizon:
        raise errors.DemonstrationError(
            f"demonstrations have {steps} steps, and the buffer has room for {horizon}:"
            " shorten them, or begin with a buffer (demos, or else pretraining) of a"
            " longer horizon"
        )


def named_leaves(name: str, tree: Any) -> list[tuple[str, Any]]:
    """Leaves by name, such as `observations['image']`; an array goes by its own.

    Example:
      >>> print(named_leaves("observations", {"image": 1}))
      [("observations['image']", 1)]
    """
    leaves, _ = jax.tree.flatten_with_path(tree)
    return [(name + jax.tree_util.keystr(path), leaf) for path, leaf in leaves]


def check_same_kind(observations: Any, known: Any) -> None:
    """Raises `DemonstrationError` if not the same leaves are observed as are known."""
    kinds: list[Any] = [jax.tree.structure(tree) for tree in (observations, known)]
    if kinds[0] == kinds[1]:
        return
    there, here = (
        [name for name, _ in named_leaves("observations", tree)]
        for tree in (known, observations)
    )
    raise errors.DemonstrationError(
        f"demonstrations.observations hold {', '.join(here) or 'nothing'}, and those of"
        f" the buffer {', '.join(there)}; all must observe the same"
    )


def _width(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape)) or "0"


def _roomier(needed: int) -> str:
    return f"build it with capacity >= {needed}, or call reserve"


def check_room(
    demos: Demonstrations, extra: int, instead: Callable[[int], str] = _roomier
) -> None:
    """Raises `CapacityError` if `extra` more demonstrations do not fit.

    A buffer that is traced is taken to be empty.

    Args:
      demos: the buffer.
      extra: demonstrations.
      instead: `(capacity that would do) -> advice`, in words.
    """
    traced = isinstance(demos.demo_mask, jax.core.Tracer)
    held = 0 if traced else int(np.count_nonzero(demos.demo_mask))
    capacity = demos.demo_mask.shape[0]
    if held + extra > capacity:
        raise errors.CapacityError(
            f"the buffer holds {held} of {capacity} demonstrations and has no room for"
            f" {extra} more; {instead(held + extra)}"
        )


def reserve(demos: Demonstrations, extra: int) -> Demonstrations:
    """A buffer with room for `extra` more, of twice the capacity as often as needed.

    For loops without a known budget: n demonstrations take about log2 n capacities, so
    that what consumes the buffer is compiled as often, and no row is copied more than
    twice on average. Outside jit, since shapes change. See `selectors.carry_over` for
    what a selector remembers.

    Raises:
      InvalidArgumentError: if `extra` is no whole number of at least 0.
      CapacityError: for more steps than 32 bits count.
      MemoryBudgetError: for more than there is memory.

    Example:
      >>> from amf_jax.demonstrations import empty
      >>> held = empty(3, horizon=5, observation_size=2, action_size=1, task_size=4)
      >>> print(reserve(held, 3).demo_mask.shape, reserve(held, 4).demo_mask.shape)
      (3,) (6,)
    """
    ranges.check("extra", extra, ranges.COUNT_OR_NONE)
    capacity = demos.demo_mask.shape[0]
    needed = int(count(demos)) + extra
    while capacity < needed:
        capacity *= 2
    missing = capacity - demos.demo_mask.shape[0]
    if not missing:
        return demos
    return stack([demos, empty_like(demos, missing)])


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
