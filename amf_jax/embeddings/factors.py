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

    Example:
      >>> x = FactoredGradient(jnp.array([[1.0, 2.0]]), error=jnp.array([[3.0]]))
      >>> print(x.kernel(x), x.explicit() @ x.explicit().T)
      [[54.]] [[54.]]
    """

    features: Float[Array, "n d"]
    error: Float[Array, "n A"]

    def kernel(self, other: "FactoredGradient") -> Float[Array, "n m"]:
        """`<phi, phi'> = (error . error') (h . h' + 1)`, without outer products."""
        inner = self.features @ other.features.T + 1.0
        return (self.error @ other.error.T) * inner

    def diagonal(self) -> Float[Array, " n"]:
        """`|phi|^2 = |error|^2 (|h|^2 + 1)`."""
        return jnp.sum(self.error**2, -1) * (jnp.sum(self.features**2, -1) + 1.0)

    def explicit(self) -> Float[Array, "n P"]:
        """The embeddings themselves, `P = (d + 1) A`: outer([h, 1], error), flat."""
        ones = jnp.ones((*self.features.shape[:-1], 1), self.features.dtype)
        extended = jnp.concatenate([self.features, ones], axis=-1)
        products = extended[..., :, None] * self.error[..., None, :]
        return products.reshape(*extended.shape[:-1], -1)


class ElementwiseGradient(NamedTuple):
    """The gradient of a LayerNorm's scale and bias, `[normalised error, error]`.

    Attributes:
      normalised: what the scale multiplies.
      error: gradient of the loss with respect to the layer's output.
    """

    normalised: Float[Array, "n d"]
    error: Float[Array, "n d"]

    def kernel(self, other: "ElementwiseGradient") -> Float[Array, "n m"]:
        """`(normalised error) . (normalised' error') + error . error'`."""
        scaled = self.normalised * self.error
        return scaled @ (other.normalised * other.error).T + self.error @ other.error.T

    def diagonal(self) -> Float[Array, " n"]:
        """`|normalised error|^2 + |error|^2`."""
        return jnp.sum(self.error**2 * (self.normalised**2 + 1.0), axis=-1)


LayerGradient = FactoredGradient | ElementwiseGradient
