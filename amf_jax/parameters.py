"""Parameters: what of a policy is trained, and what is only carried along."""

from typing import Any

import jax
import jax.numpy as jnp


def trainable(params: Any) -> Any:
    """The floating leaves; None in place of the others.

    A policy may carry more than weights, such as the random keys and counters of Flax
    NNX, which have no gradient. An optimiser starts from what is trained: its state is
    `optimizer.init(trainable(params))`.

    Example:
      >>> print(trainable({"kernel": jnp.ones(2), "count": jnp.int32(3)})["count"])
      None
    """
    return jax.tree.map(lambda leaf: leaf if is_trained(leaf) else None, params)


def merged(trained: Any, params: Any) -> Any:
    """`params` with leaves replaced, such as by what `trainable` gave; None keeps."""
    return jax.tree.map(lambda leaf, new: leaf if new is None else new, params, trained)


def is_trained(leaf: Any) -> bool:
    """Whether a leaf has a gradient."""
    return jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)
