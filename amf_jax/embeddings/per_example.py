"""Loss-gradient embeddings of any policy: one gradient per example, as it is."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from amf_jax import errors
from amf_jax.demonstrations import named_leaves
from amf_jax.embeddings.base import Embedding, batched, linear
from amf_jax.parameters import is_trained, merged


def loss_gradient(
    loss: Callable,
    *,
    parameter_filter: Callable[[str], bool] | None = None,
    microbatch_size: int | None = None,
) -> Embedding:
    """Loss-gradient embeddings of any policy, one `jax.grad` per example.

    The generic path: it needs nothing but a differentiable loss and materialises
    `[n, P]` embeddings.

    Args:
      loss: as in `Policy.loss`, for one example.
      parameter_filter: which parameters to differentiate, given a leaf's path such as
        `"['params']['head']['kernel']"`; None is all of them. Keys and
        counters have no gradient (`parameters.trainable`).
      microbatch_size: examples embedded at a time; None is all at once.

    Raises:
      InvalidArgumentError: when tracing, if the filter selects no parameter.
    """

    def is_chosen(path, leaf) -> bool:
        named = parameter_filter is None or parameter_filter(jax.tree_util.keystr(path))
        return is_trained(leaf) and named

    def embed(params, key, observations, actions, tasks):
        chosen = jax.tree.map_with_path(
            lambda path, leaf: leaf if is_chosen(path, leaf) else None, params
        )
        if not jax.tree.leaves(chosen):
            known = (name for name, _ in named_leaves("", params))
            raise errors.InvalidArgumentError(
                "parameter_filter selects no parameter; the parameters are "
                + ", ".join(known)
            )

        def one(example):
            gradient = jax.grad(lambda part: loss(merged(part, params), key, *example))
            leaves = jax.tree.leaves(gradient(chosen))
            return jnp.concatenate([leaf.ravel() for leaf in leaves])

        return batched(one, (observations, actions, tasks), microbatch_size)

    return linear(embed)
