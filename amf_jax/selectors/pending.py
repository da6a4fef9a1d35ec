"""Pending demonstrations: asked for, not yet delivered, and already counted on."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from amf_jax import ranges
from amf_jax.demonstrations import Demonstrations
from amf_jax.selectors.base import Choice
from amf_jax.selectors.context import Pending


def none(slots: int, tasks: Float[Array, "C D"]) -> Pending:
    """No pending demonstration, and room for as many as there are slots.

    A slot is a demonstrator: `assign` it what was chosen, and `release` it when the
    demonstration is at hand.

    Raises:
      InvalidArgumentError: for less than one slot.

    Example:
      >>> pending = assign(none(2, jnp.eye(3)), 1, Choice(jnp.int32(2), jnp.eye(3)[2]))
      >>> print(pending.task_ids, pending.mask, release(pending, 1).mask)
      [-1  2] [False  True] [False False]
    """
    ranges.check("slots", slots, ranges.COUNT)
    return Pending(
        task_ids=jnp.full((slots,), -1, jnp.int32),
        tasks=jnp.zeros((slots, tasks.shape[1]), tasks.dtype),
        mask=jnp.zeros((slots,), bool),
    )


def assign(pending: Pending, slot: Int[Array, "*k"] | int, choice: Choice) -> Pending:
    """The choice is asked of the demonstrator of a slot; beyond the last, of nobody.

    Several slots take as many choices, such as those of `select_batch`.
    """
    return Pending(
        pending.task_ids.at[slot].set(choice.task_id, mode="drop"),
        pending.tasks.at[slot].set(choice.task, mode="drop"),
        pending.mask.at[slot].set(True, mode="drop"),
    )


def release(pending: Pending, slot: Int[Array, "*k"] | int) -> Pending:
    """What was asked of the demonstrator of a slot, or of several, is at hand."""
    return pending._replace(mask=pending.mask.at[slot].set(False, mode="drop"))


def count(pending: Pending | None) -> Int[Array, ""]:
    """How many demonstrations are pending."""
    return jnp.int32(0) if pending is None else pending.mask.sum(dtype=jnp.int32)


def with_room(pending: Pending | None, slots: int, tasks: Array) -> Pending:
    """The same with further slots behind those that there are."""
    more = none(slots, tasks)
    if pending is None:
        return more
    return Pending(*map(lambda *parts: jnp.concatenate(parts), pending, more))


def stand_ins(
    pending: Pending, demos: Demonstrations, weights: Float[Array, "Q N"]
) -> Demonstrations:
    """What pending demonstrations are taken to be until they are there.

    The modal block of each: of the demonstrations at hand the one with the largest
    importance weight for the pending task, the first of equals, relabelled with it.

    Args:
      pending: Q slots.
      demos: N demonstrations at hand, with filled padding.
      weights: importance weights `W[q, i]` for the pending tasks.

    Returns:
      A buffer of Q rows, those of the slots that are not in use masked.
    """
    rows = jnp.argmax(weights, axis=-1)
    chosen = jax.tree.map(lambda leaf: leaf[rows], demos)
    return chosen._replace(
        tasks=jnp.where(pending.mask[:, None], pending.tasks, chosen.tasks),
        task_ids=pending.task_ids,
        demo_mask=pending.mask & chosen.demo_mask,
    )
