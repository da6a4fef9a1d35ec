"""The exact loss-gradient kernel of a whole network, without any gradient vector.

The gradient of a network is its layers' gradients side by side, so its inner products
are sums over layers, each of them a product of small Gram matrices (factors.py).
"""

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

from jaxtyping import Array, Float

from amf_jax import errors
from amf_jax.embeddings.base import Embedding, batched
from amf_jax.embeddings.factors import LayerGradient


def network_gradient(
    layer_gradients: Callable | None, *, microbatch_size: int | None = None
) -> Embedding:
    """Loss-gradient embeddings of all parameters, by their factors layer by layer.

        k(x, x') = sum over dense layers of (h . h' + 1) (e . e')
                 + sum over norms of (u e) . (u' e') + e . e'

    with h the activations that enter a dense layer, u the normalised ones that a norm
    scales, and e the gradient of the loss for the layer's output. The same kernel as
    that of `loss_gradient`, up to rounding; a point takes the sum of the layers' widths
    instead of the number of parameters.

    Args:
      layer_gradients: as in `Policy.layer_gradients`, for one example.
      microbatch_size: examples embedded at a time; None is all at once.

    Raises:
      InvalidArgumentError: if `layer_gradients` is None or, when tracing, if what it
        returns is not in factors.
    """
    checked = check_layer_gradients(layer_gradients)

    def embed(params, key, observations, actions, tasks):
        return batched(
            lambda example: checked(params, key, *example),
            (observations, actions, tasks),
            microbatch_size,
        )

    return Embedding(embed, network_kernel, network_diagonal)


def network_kernel(x: Sequence[Any], y: Sequence[Any]) -> Float[Array, "n m"]:
    """Sum of the layers' kernels."""
    layers = zip(x, y, strict=True)
    return functools.reduce(operator.add, (one.kernel(other) for one, other in layers))


def network_diagonal(x: Sequence[LayerGradient]) -> Float[Array, " n"]:
    """Sum of the layers' diagonals."""
    return functools.reduce(operator.add, (layer.diagonal() for layer in x))


def check_layer_gradients(layer_gradients: Callable | None) -> Callable:
    """The same function, refusing at trace time layers that are not in factors.

    Raises:
      InvalidArgumentError: if `layer_gradients` is None.
    """
    if layer_gradients is None:
        raise errors.InvalidArgumentError(
            "layer_gradients must be a function, got None: this policy does not tell"
            " its gradients layer by layer; use loss_gradient with its loss instead"
        )

    def checked(params, key, observation, action, task):
        layers = tuple(layer_gradients(params, key, observation, action, task))
        for layer in layers:
            if not isinstance(layer, LayerGradient):
                raise errors.InvalidArgumentError(
                    "layer_gradients must return FactoredGradient or"
                    f" ElementwiseGradient for each layer, got {type(layer).__name__}"
                )
        return layers

    return checked
