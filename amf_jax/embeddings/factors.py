"""Gradients for one layer's parameters, kept as the factors that they are products of.

A dense layer's gradient is an outer product, and an elementwise one's a product of two
vectors: inner products of gradients need the factors alone, and a point takes as many
numbers as the layer has inputs and outputs, not parameters.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float


class FactoredGradient(NamedTuple):
    """The gradient of a dense layer, kept as the two factors of its outer product.

    Attributes:
      features: activations `h` that enter the layer.
      error: gradient of the loss with respect to the layer's output.
    """

    features: Float[Array, "n d"]
    error: Float[Array, "n A"]


class ElementwiseGradient(NamedTuple):
    """The gradient of a LayerNorm's scale and bias, `[normalised error, error]`.

    Attributes:
      normalised: what the scale multiplies.
      error: gradient of the loss with respect to the layer's output.
    """

    normalised: Float[Array, "n d"]
    error: Float[Array, "n d"]


LayerGradient = FactoredGradient | ElementwiseGradient


def factored_kernel(x: FactoredGradient, y: FactoredGradient) -> Float[Array, "n m"]:
    """`<phi, phi'> = (error . error') (h . h' + 1)`, without the outer products.

    Example:
      >>> x = FactoredGradient(jnp.array([[1.0, 2.0]]), error=jnp.array([[3.0]]))
      >>> print(factored_kernel(x, x), explicit(x) @ explicit(x).T)
      [[54.]] [[54.]]
    """
    return (x.error @ y.error.T) * (x.features @ y.features.T + 1.0)


def factored_diagonal(x: FactoredGradient) -> Float[Array, " n"]:
    """`|phi|^2 = |error|^2 (|h|^2 + 1)`."""
    return jnp.sum(x.error**2, -1) * (jnp.sum(x.features**2, -1) + 1.0)


def explicit(x: FactoredGradient) -> Float[Array, "n P"]:
    """The embeddings themselves, `P = (d + 1) A`: outer([h, 1], error), flattened."""
    ones = jnp.ones((*x.features.shape[:-1], 1), x.features.dtype)
    extended = jnp.concatenate([x.features, ones], axis=-1)
    return (extended[..., :, None] * x.error[..., None, :]).reshape(
        *extended.shape[:-1], -1
    )


def elementwise_kernel(
    x: ElementwiseGradient, y: ElementwiseGradient
) -> Float[Array, "n m"]:
    """`(normalised error) . (normalised' error') + error . error'`."""
    return (x.normalised * x.error) @ (y.normalised * y.error).T + x.error @ y.error.T


def elementwise_diagonal(x: ElementwiseGradient) -> Float[Array, " n"]:
    """`|normalised error|^2 + |error|^2`."""
    return jnp.sum(x.error**2 * (x.normalised**2 + 1.0), axis=-1)
