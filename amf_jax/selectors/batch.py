"""Batches: several demonstrations chosen at once, for demonstrators in parallel."""

import functools
import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from amf_jax import ranges
from amf_jax.selectors import pending as pending_lib
from amf_jax.selectors.base import Choice, Context, Selector, check_choice
from amf_jax.selectors.context import check_context, prepare
from amf_jax.validation import is_concrete


def select_batch(
    selector: Selector, key: Key[Array, ""], state: Any, context: Context, size: int
) -> tuple[Choice, Any, Any]:
    """Selects greedily, each choice with the former ones pending.

    A task may be chosen more than once. Every choice is the best one given those before
    it; the batch need not be the best of its size (see `greedy.reduce_variance`). A
    batch of one is a plain selection.

    Args:
      selector: any; what it makes of pending demonstrations is its own affair.
      key: of all choices.
      state: of the selector. It is threaded through the selections.
      context: of the round. What is pending in it stays so for all of them.
      size: how many; static under `jax.jit`.

    Returns:
      Choices, state and diagnostics as `Selector.select` returns them; those of the
      choices lead with an axis of `size`.

    Raises:
      InvalidArgumentError: for a size below 1.
    """
    ranges.check("size", size, ranges.COUNT)
    if size == 1:
        choice, state, info = selector.select(key, state, context)
        choice, info = jax.tree.map(lambda leaf: leaf[None], (choice, info))
        return choice, state, info
    if is_concrete((key, state, context)):
        check_context(context)
        return _compiled(selector)(key, state, prepare(context), size)
    return _one_by_one(selector, key, state, prepare(context), size)


def _one_by_one(
    selector: Selector, key: Key[Array, ""], state: Any, context: Context, size: int
) -> tuple[Choice, Any, Any]:
    """A batch of two or more."""
    held = 0 if context.pending is None else context.pending.mask.shape[0]

    def choose(carry, index):
        state, pending = carry
        now = context._replace(pending=pending)
        own_key = jax.random.fold_in(key, index)
        choice, state, info = selector.select(own_key, state, now)
        pending = pending_lib.assign(pending, held + index, choice)
        return (state, pending), (choice, info)

    # The last choice has no slot: there is none after it.
    pending = pending_lib.with_room(context.pending, size - 1, context.tasks)
    start = state, pending
    (state, _), (choices, infos) = jax.lax.scan(choose, start, jnp.arange(size))
    return choices, state, infos


@functools.lru_cache(maxsize=4)
def _compiled(selector: Selector) -> Callable[..., tuple[Choice, Any, Any]]:
    """A function of its own, which is let go when other selectors have come."""
    return jax.jit(lambda *given: _one_by_one(selector, *given), static_argnums=3)


def tasks_of(
    choices: Choice, infos: Any, task_names: tuple[str, ...] | None = None
) -> list[int | np.ndarray]:
    """The tasks of a batch, each an index or, if it is none of them, a vector.

    Raises:
      SelectionError: as `check_choice`; call it on the host, outside jit.
    """
    choices, infos = jax.tree.map(np.asarray, (choices, infos))
    tasks: list[int | np.ndarray] = []
    for place, task_id in enumerate(choices.task_id.tolist()):
        one = operator.itemgetter(place)
        choice, info = jax.tree.map(one, (choices, infos))
        check_choice(choice, info, task_names)
        tasks.append(task_id if task_id >= 0 else choice.task)
    return tasks
