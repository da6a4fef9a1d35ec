"""Warm start: the first selections ask for each task once, whatever the selector."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from amf_jax import errors, ranges
from amf_jax.selectors import pending
from amf_jax.selectors.base import Choice, Context, Selector, diagnostics
from amf_jax.selectors.round_robin import turn


class WarmStartState(NamedTuple):
    """Selections so far, and the state of the selector that takes over."""

    round: Int[Array, ""]
    inner: object


class WarmStartInfo(NamedTuple):
    """Diagnostics of a selection behind a warm start.

    Attributes:
      scheduled: whether the task's turn had come, so that no rule chose.
      inner: diagnostics of the rule; zeros, which mean nothing, where none chose.
    """

    scheduled: Bool[Array, ""]
    inner: Any

    def of_rule(self) -> Any:
        """See `diagnostics`; a batch is scheduled as a whole."""
        return None if np.all(self.scheduled) else diagnostics(self.inner)


def warm_start(selector: Selector, rounds: int, sample_tasks=None) -> Selector:
    """Asks for each task in turn during the first rounds, then defers to `selector`.

    Importance weights need demonstrations to weigh, so that every active rule starts
    with a few that are not its own choice (section 4.2). What is pending cannot be
    weighed yet: the warm start lasts until the demonstrations of `rounds` selections
    are at hand, and so to the end of a batch that begins in it.

    Args:
      selector: takes over after the warm start.
      rounds: length of the warm start, in selections; the paper takes one per task.
        With more than there are tasks, these are gone through again.
      sample_tasks: `(key, count) -> [count, D]` for continuous task spaces, which are
        drawn from at random; None goes through the evaluation tasks.

    Raises:
      InvalidArgumentError: for what is no selector, or no number of rounds.
    """
    ranges.check("rounds", rounds, ranges.COUNT_OR_NONE)
    if not isinstance(selector, Selector):
        raise errors.InvalidArgumentError(
            f"selector must be a Selector, as selectors.make builds, got {selector!r}"
        )
    active = jax.jit(selector.select)  # traced once, for its shapes and for its turn

    def init(context: Context, history=None) -> WarmStartState:
        return WarmStartState(jnp.int32(0), selector.init(context, history))

    def select(key, state: WarmStartState, context: Context):
        def scheduled(key, inner, context):
            shapes = jax.eval_shape(active, key, inner, context)
            info = jax.tree.map(
                lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes[2]
            )
            if sample_tasks is None:
                choice = turn(state.round, context.tasks)
            else:
                task = sample_tasks(key, 1)[0].astype(context.tasks.dtype)
                choice = Choice(jnp.int32(-1), task)
            return choice, inner, info

        delivered = state.round - pending.count(context.pending)
        waits = delivered < rounds
        choice, inner, info = jax.lax.cond(
            waits, scheduled, active, key, state.inner, context
        )
        state = WarmStartState(state.round + 1, inner)
        return choice, state, WarmStartInfo(waits, info)

    kept = selector.frozen_embeddings, selector.listed_tasks
    return Selector(init, select, *kept)
