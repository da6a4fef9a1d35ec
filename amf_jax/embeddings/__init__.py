"""Embeddings: how a (state, task) pair becomes a point of a Gaussian process.

A policy linearised in its parameters is a Gaussian process whose kernel is the inner
product of per-example embeddings (section 4.2 of the paper). The loss gradient (Ash et
al., 2020) is the default embedding: `phi(s, c) = d loss(s, c, a) / d parameters`, with
the demonstrated action as the label.

  embedding            parameters   label  a point takes         needs of the policy
  last_layer_gradient  last layer   yes    d + A                 last_layer
  network_gradient     all          yes    sum of layer widths   layer_gradients
  projected_gradient   all          yes    rank (an estimate)    layer_gradients
  loss_gradient        any          yes    number of parameters  loss
  last_layer_feature   –            no     d                     last_layer
  dropout              –            no     passes A              stochastic
"""

from amf_jax.embeddings.base import (
    Embedding,
    Points,
    embed_demonstration,
    embed_pairs,
    embed_relabelled,
    linear,
    linear_diagonal,
    linear_features,
    linear_kernel,
)
from amf_jax.embeddings.factors import (
    ElementwiseGradient,
    FactoredGradient,
    LayerGradient,
)
from amf_jax.embeddings.last_layer import last_layer_feature, last_layer_gradient
from amf_jax.embeddings.network import (
    network_diagonal,
    network_gradient,
    network_kernel,
)
from amf_jax.embeddings.per_example import loss_gradient
from amf_jax.embeddings.projection import projected_gradient
from amf_jax.embeddings.registry import EMBEDDINGS, make
from amf_jax.embeddings.stochastic import dropout

__all__ = [
    "EMBEDDINGS",
    "ElementwiseGradient",
    "Embedding",
    "FactoredGradient",
    "LayerGradient",
    "Points",
    "dropout",
    "embed_demonstration",
    "embed_pairs",
    "embed_relabelled",
    "last_layer_feature",
    "last_layer_gradient",
    "linear",
    "linear_diagonal",
    "linear_features",
    "linear_kernel",
    "loss_gradient",
    "make",
    "network_diagonal",
    "network_gradient",
    "network_kernel",
    "projected_gradient",
]
