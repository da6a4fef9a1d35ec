"""Arrays that move into larger ones, where a buffer has grown."""

from typing import Any

import jax
import jax.numpy as jnp


def carry_over(state: Any, larger: Any) -> Any:
    """What a selector remembers, for a buffer that has grown.

    Every array is written to the front of that of the larger state: rows in use stay
    where they are, and those behind them are as fresh as in `larger`. What carries over
    in a way of its own has a method `carry_over(larger)`.

    Args:
      state: of the selector so far.
      larger: from `Selector.init`, with the larger buffer in the context and, if there
        was any, the same history.

    Example:
      >>> held, larger = jnp.array([1.0, 2.0]), jnp.zeros(4)
      >>> print(carry_over(held, larger))
      [1. 2. 0. 0.]
    """

    def knows_how(node) -> bool:
        return hasattr(node, "carry_over")

    def one(old, new):
        if knows_how(old):
            return old.carry_over(new)
        start = (0,) * jnp.ndim(new)
        return jax.lax.dynamic_update_slice(new, jnp.asarray(old, new.dtype), start)

    return jax.tree.map(one, state, larger, is_leaf=knows_how)
