"""Uniform choice: every task is as likely as any other."""

import jax
import jax.numpy as jnp

from amf_jax.selectors.base import Choice, Context, Selector


def uniform() -> Selector:
    """Draws the next task uniformly from the evaluation tasks.

    The baseline of every experiment in the paper. It carries no state.
    """

    def init(context: Context, history=None):
        del context, history
        return ()

    def select(key, state, context: Context):
        num_tasks = context.tasks.shape[0]
        task_id = jax.random.randint(key, (), 0, num_tasks, dtype=jnp.int32)
        return Choice(task_id, context.tasks[task_id]), state, None

    return Selector(init, select)
