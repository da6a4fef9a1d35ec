"""Loss gradients of a whole network, sketched to a few random numbers per point."""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from amf_jax import ranges
from amf_jax.embeddings.base import Embedding, batched, linear
from amf_jax.embeddings.factors import FactoredGradient, LayerGradient
from amf_jax.embeddings.network import check_layer_gradients


def projected_gradient(
    layer_gradients: Callable | None,
    *,
    rank: int = 64,
    seed: int = 0,
    microbatch_size: int | None = None,
) -> Embedding:
    """Random projections of the gradients of `network_gradient` to `rank` numbers.

    Number k of a point is a rank-one Gaussian sketch of every dense layer's outer
    product, and a Gaussian projection of every norm's gradient, summed over layers:

        z_k = rank^-1/2 [ sum over dense layers of (g_k . [h, 1]) (q_k . e)
                        + sum over norms of g_k . [u e, e] ]

    where all entries of g_k and q_k, other ones for every k and layer, are independent
    standard normal. Neither the gradients nor a matrix of their size is ever formed.

    The kernel `z . z'` is an unbiased estimate of the exact `k = k(x, x')`. With the
    inner products of a dense layer's factors, `C = h . h' + 1` and `D = e . e'`
    (subscripts xx and yy for a point with itself), the estimate has the variance

        rank^-1 [ k(x,x) k(x',x') + k^2
            + 2 sum over dense layers of (C^2 D^2 + C^2 D_xx D_yy + C_xx C_yy D^2) ]

    The first two terms are those of a dense Gaussian projection of the whole gradient;
    the sum is the price of the factored one. Relative to `sqrt(k(x,x) k(x',x'))`, the
    standard deviation is at most `sqrt(8 / rank)`. That bound is met by the diagonal of
    a network with one dense layer; for a diagonal of L layers of equal weight it is
    `sqrt((2 + 6 / L) / rank)`. Rank 64: 0.35 at most; rank 800: 0.1.

    Args:
      layer_gradients: as in `Policy.layer_gradients`, for one example.
      rank: numbers per point; at least 1.
      seed: of the projection. It is the same for all points and in every round, since
        it depends on this seed and on nothing else. It is part of the method, as the
        network's shape is: experiments leave it at 0 whatever the seed of the run, so
        that the spread over runs does not tell how much a projection matters.
      microbatch_size: examples embedded at a time; None is all at once.

    Raises:
      InvalidArgumentError: if `layer_gradients` is None or `rank` is below 1 or, when
        tracing, if the layers are not in factors.
    """
    checked = check_layer_gradients(layer_gradients)
    ranges.check("projection rank", rank, ranges.COUNT)
    ranges.check("seed", seed, ranges.SEED)

    def embed(params, key, observations, actions, tasks):
        examples = (observations, actions, tasks)
        first = jax.tree.map(lambda leaf: leaf[0], examples)
        template = jax.eval_shape(checked, params, key, *first)
        projection = _draw(template, rank, seed)

        def one(example):
            layers = checked(params, key, *example)
            return sum(map(_sketch, projection, layers)) / math.sqrt(rank)

        return batched(one, examples, microbatch_size)

    return linear(embed)


def _draw(layers: Sequence[LayerGradient], rank: int, seed: int) -> list[LayerGradient]:
    """A standard normal matrix `[rank, d]` for each factor; the bias is a column."""
    widths = [
        factor.size + int(isinstance(layer, FactoredGradient) and position == 0)
        for layer in layers
        for position, factor in enumerate(layer)
    ]
    shape, dtype = (rank, sum(widths)), layers[0][0].dtype
    columns = jax.random.normal(jax.random.key(seed), shape, dtype)
    matrices = iter(jnp.split(columns, np.cumsum(widths)[:-1], axis=1))
    return [type(layer)(next(matrices), next(matrices)) for layer in layers]


def _sketch(matrices: LayerGradient, layer: LayerGradient) -> Float[Array, " rank"]:
    """What a layer of one example adds to each of the numbers, before scaling."""
    first, second = matrices
    if isinstance(layer, FactoredGradient):
        # Products alone may take the numbers: XLA fuses anything else with their draw,
        # and repeats it for every example.
        entering = jnp.append(layer.features, 1.0)
        return (entering @ first.T) * (layer.error @ second.T)
    scaled = layer.normalised * layer.error
    return scaled @ first.T + layer.error @ second.T
