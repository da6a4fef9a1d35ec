"""Rebalancing: the least demonstrated task, pre-training included."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from amf_jax import errors
from amf_jax.dtypes import real_numbers
from amf_jax.importance import task_counts
from amf_jax.selectors.base import Choice, Context, Selector


class RebalancingInfo(NamedTuple):
    """Diagnostics: the negative number of demonstrations of each task."""

    scores: Float[Array, " C"]


def rebalancing(pretraining_counts: Sequence | np.ndarray | None = None) -> Selector:
    """Asks for the task with the fewest demonstrations, ties broken at random.

    A privileged baseline (appendix I): it is told how many demonstrations of each task
    the policy was pre-trained on, which is unknown for most pre-trained policies and
    which no other rule is told. It evens out the numbers of demonstrations, pending
    ones included, whatever the weights of the tasks.

    Args:
      pretraining_counts: demonstrations of each of the C evaluation tasks in the
        pre-training data. Required: without them this would be another rule.

    Returns:
      A selector without state; its scores are the negative numbers of demonstrations.

    Raises:
      InvalidArgumentError: when built, for counts that are absent, negative or no
        integers; in `init`, if they are not as many as there are tasks.
    """
    if pretraining_counts is None:
        raise errors.InvalidArgumentError(
            "pretraining_counts must be given for rebalancing, got None: how many"
            " demonstrations of each task the policy was pre-trained on is privileged"
            " information that nothing else here can tell"
        )
    known = real_numbers(pretraining_counts)
    whole = known is not None and known.ndim == 1 and known.dtype.kind in "iu"
    if known is None or not whole or (known < 0).any() or (known >= 2**30).any():
        raise errors.InvalidArgumentError(
            "pretraining_counts must be integers below 2^30 that are not negative, one"
            f" per task; got {pretraining_counts}"
        )

    def init(context: Context, history=None):
        del history  # a part of what pretraining_counts counts
        num_tasks = context.tasks.shape[0]
        if known.size != num_tasks:
            raise errors.InvalidArgumentError(
                f"pretraining_counts must hold one number for each of the {num_tasks}"
                f" evaluation tasks, got {known.size}: {known.tolist()}"
            )
        return ()

    def select(key, state, context: Context):
        num_tasks = context.tasks.shape[0]
        demos, asked = context.demos, context.pending
        counts = jnp.asarray(known, jnp.int32)
        counts += task_counts(demos.task_ids, demos.demo_mask, num_tasks)
        if asked is not None:
            counts += task_counts(asked.task_ids, asked.mask, num_tasks)
        least = jnp.where(counts == counts.min(), 0.0, -jnp.inf)
        task_id = jax.random.categorical(key, least).astype(jnp.int32)
        info = RebalancingInfo(-counts.astype(context.tasks.dtype))
        return Choice(task_id, context.tasks[task_id]), state, info

    return Selector(init, select)
