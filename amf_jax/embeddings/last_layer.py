"""Embeddings from a policy's last layer: its loss gradient, or what enters it."""

from collections.abc import Callable
from typing import Any

from amf_jax import errors
from amf_jax.embeddings.base import Embedding, batched, linear
from amf_jax.embeddings.factors import FactoredGradient


def last_layer_gradient(
    last_layer: Callable | None, *, microbatch_size: int | None = None
) -> Embedding:
    """Loss-gradient embeddings of a dense last layer, by their factors (the default).

    Args:
      last_layer: as in `Policy.last_layer`, for one example.
      microbatch_size: examples embedded at a time; None is all at once. The result is
        the same for every size.

    Raises:
      InvalidArgumentError: if `last_layer` is None, as in policies without a dense one.
    """
    point = FactoredGradient
    embed = _embed(last_layer, point, microbatch_size)
    return Embedding(embed, point.kernel, point.diagonal, point.explicit)


def last_layer_feature(
    last_layer: Callable | None, *, microbatch_size: int | None = None
) -> Embedding:
    """Activations that enter the last layer: `k(x, x') = h . h'`, without labels.

    The kernel of Bayesian linear regression on the last layer's inputs with a standard
    normal prior on its weights. Holzmüller et al. (2023) give the bias a prior too: in
    their notation the feature is `[sigma_w h, sigma_b]`, in this parametrisation
    `[h, 1]`, so theirs is `h . h' + 1`. The bias is left out here; where a LayerNorm
    precedes, `|h|^2` is about half the width of the layer, and 1 is little beside it.

    Args:
      last_layer: as in `Policy.last_layer`, for one example; its error is not used, so
        the points do not depend on the actions.
      microbatch_size: examples embedded at a time; None is all at once.

    Raises:
      InvalidArgumentError: if `last_layer` is None.

    References:
      Holzmüller, Zaverkin, Kästner and Steinwart, "A framework and benchmark for deep
      batch active learning for regression", JMLR 24, 2023.
    """
    return linear(_embed(last_layer, lambda features, _: features, microbatch_size))


def _embed(
    last_layer: Callable | None, point: Callable, microbatch_size: int | None
) -> Callable[..., Any]:
    """Embeds each example as a `point` of its features and its error."""
    if last_layer is None:
        raise errors.InvalidArgumentError(
            "last_layer must be a function, got None: this policy has no dense last"
            " layer, or does not tell it; use loss_gradient with its loss instead"
        )

    def embed(params, key, observations, actions, tasks):
        def one(example):
            return point(*last_layer(params, key, *example))

        return batched(one, (observations, actions, tasks), microbatch_size)

    return embed
