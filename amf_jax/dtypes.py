"""The floating type of a computation: one, of at least single precision."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def compute_dtype(*trees: Any) -> np.dtype:
    """The widest floating type among arrays, and at least float32.

    What is no floating number, such as a one-hot task in integers or an image, has no
    say; float64 has one where JAX has it enabled.

    Example:
      >>> task_ids, actions = np.eye(3, dtype=int), np.zeros(2, jnp.bfloat16)
      >>> print(compute_dtype(task_ids, actions))
      float32
    """
    dtype = jnp.dtype(jnp.float32)
    for leaf in jax.tree.leaves(trees):
        given = jnp.result_type(leaf)
        if jnp.issubdtype(given, jnp.floating):
            dtype = jnp.promote_types(dtype, given)
    return jax.dtypes.canonicalize_dtype(dtype)
