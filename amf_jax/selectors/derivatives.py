"""Derivatives of a selection: forwards alone, and an error that says so."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import linear_call

from amf_jax import errors


@jax.custom_jvp
def forwards_only(tree: Any) -> Any:
    """The same arrays, which have no reverse derivative.

    The loops of a selection are as long as there are demonstrations. JAX would say that
    they are loops; this says what to do instead.

    Example:
      >>> one = jnp.float32(1.0)
      >>> print(jax.jvp(forwards_only, (one,), (2.0 * one,))[1])
      2.0
      >>> jax.grad(forwards_only)(one)
      Traceback (most recent call last):
      amf_jax.errors.InvalidArgumentError: a selection has no reverse derivative ...
    """
    return tree


@forwards_only.defjvp
def _along(primals, tangents):
    def one(tangent):
        floating = jnp.issubdtype(tangent.dtype, jnp.floating)
        return linear_call(_same, _refuse, (), tangent) if floating else tangent

    return primals[0], jax.tree.map(one, tangents[0])


def _same(_, tangent):
    return tangent


def _refuse(*_):
    raise errors.InvalidArgumentError(
        "a selection has no reverse derivative (jax.grad, jax.vjp, jax.jacrev), since"
        " its loops are as long as there are demonstrations; differentiate its scores"
        " forwards instead: jax.jvp, jax.jacfwd, or candidates.value_and_slope for many"
        " points at once"
    )
