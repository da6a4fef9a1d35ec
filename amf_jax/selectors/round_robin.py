"""Round-robin: every task in turn."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from amf_jax.selectors.base import Choice, Context, Selector


def round_robin() -> Selector:
    """Asks for each evaluation task in turn, whatever the policy can do.

    Its state is the number of selections so far, pending ones included. Without a warm
    start, the first is task 0.
    """

    def init(context: Context, history=None):
        del context, history
        return jnp.int32(0)

    def select(key, state, context: Context):
        del key
        return turn(state, context.tasks), state + 1, None

    return Selector(init, select)


def turn(round_index: Int[Array, ""], tasks: Float[Array, "C D"]) -> Choice:
    """The task whose turn it is in this round, the first of which is 0."""
    task_id = round_index % tasks.shape[0]
    return Choice(task_id.astype(jnp.int32), tasks[task_id])
