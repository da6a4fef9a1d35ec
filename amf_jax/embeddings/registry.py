"""The registry of embeddings: one line each."""

from collections.abc import Callable

from amf_jax import errors
from amf_jax.embeddings.base import Embedding
from amf_jax.embeddings.last_layer import last_layer_feature, last_layer_gradient
from amf_jax.embeddings.network import network_gradient
from amf_jax.embeddings.per_example import loss_gradient
from amf_jax.embeddings.projection import projected_gradient
from amf_jax.embeddings.stochastic import dropout
from amf_jax.policies.base import LayeredPolicy, Policy

#: Per-example gradients at work at a time where an embedding is chosen by name: beside
#: the points themselves, memory then holds so many of them leaf by leaf, not all. What
#: is left over by the last full batch is copied; steps often come in tens.
_MICROBATCH = 25

EMBEDDINGS: dict[str, Callable[..., Embedding]] = {
    "last_layer_gradient": lambda policy, **_: last_layer_gradient(policy.last_layer),
    "network_gradient": lambda policy, **_: network_gradient(policy.layer_gradients),
    "loss_gradient": lambda policy, **_: loss_gradient(
        policy.loss, microbatch_size=_MICROBATCH
    ),
    "projected_gradient": lambda policy, projection_rank, **_: projected_gradient(
        policy.layer_gradients, rank=projection_rank
    ),
    "last_layer_feature": lambda policy, **_: last_layer_feature(policy.last_layer),
    "dropout": lambda policy, dropout_rate, dropout_passes, **_: dropout(
        policy.stochastic, rate=dropout_rate, passes=dropout_passes
    ),
}


def make(
    name: str,
    policy: Policy,
    *,
    dropout_rate: float = 0.1,
    dropout_passes: int = 32,
    projection_rank: int = 64,
) -> Embedding:
    """Builds the embedding of a policy by name.

    Args:
      name: a key of `EMBEDDINGS`.
      policy: what is embedded.
      dropout_rate: of "dropout".
      dropout_passes: of "dropout".
      projection_rank: of "projected_gradient".

    Raises:
      UnknownNameError: with the nearest valid name.
      InvalidArgumentError: if the policy (a `policies.LayeredPolicy`, where more than
        its loss is needed) lacks what the embedding needs, or an option
        that the embedding reads is out of range.

    Example:
      >>> make("last_layer", Policy(loss=print, act=print))
      Traceback (most recent call last):
      amf_jax.errors.UnknownNameError: unknown embedding 'last_layer'. Did you mean ...
    """
    errors.check_name("embedding", name, EMBEDDINGS)
    if not isinstance(policy, LayeredPolicy):
        policy = LayeredPolicy(loss=policy.loss, act=policy.act, window=policy.window)
    embedding = EMBEDDINGS[name](
        policy,
        dropout_rate=dropout_rate,
        dropout_passes=dropout_passes,
        projection_rank=projection_rank,
    )
    return embedding._replace(window=policy.window)
