"""What numbers are computed in: one floating type, of at least single precision."""

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


def real_numbers(values: Any) -> np.ndarray | None:
    """An array of the host of real numbers; None for what is none, or masked in part.

    Example:
      >>> print(real_numbers([1, 2]), real_numbers("ab"), real_numbers([1j]))
      [1 2] None None
      >>> print(real_numbers(np.ma.array([1, 2], mask=[False, True])))
      None
    """
    if np.ma.is_masked(values):
        return None
    try:
        array = np.asarray(values)
    except (TypeError, ValueError):  # ragged, or keys
        return None
    kinds = jnp.floating, jnp.integer, jnp.bool_
    return array if any(jnp.issubdtype(array.dtype, kind) for kind in kinds) else None


def is_finite(values: np.ndarray) -> np.ndarray:
    """Which numbers are finite in the type that is computed in.

    Without float64 that is float32, where 1e39 is infinite.

    Example:
      >>> print(is_finite(np.array([1.0, 1e39, np.nan])))
      [ True False False]
    """
    if jnp.issubdtype(values.dtype, jnp.floating):
        with np.errstate(over="ignore"):
            values = values.astype(compute_dtype(values), copy=False)
    return np.isfinite(values)
