"""Loss-gradient embeddings of any policy: one gradient per example, as it is."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from amf_jax import errors
from amf_jax.embeddings.base import Embedding, batched, linear
from amf_jax.parameters import is_trained


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

    def embed(params, key, observations, actions, tasks):
        selected, rebuild = _partition(params, parameter_filter)

        def one(example):
            gradient = jax.grad(lambda part: loss(rebuild(part), key, *example))(
                selected
            )
            return jnp.concatenate([leaf.ravel() for leaf in gradient])

        return batched(one, (observations, actions, tasks), microbatch_size)

    return linear(embed)


def _partition(params, parameter_filter: Callable[[str], bool] | None):
    """The leaves to differentiate, and how to put them back among the others."""
    leaves, treedef = jax.tree_util.tree_flatten_with_path(params)
    paths = [jax.tree_util.keystr(path) for path, _ in leaves]
    chosen = [
        is_trained(leaf) and (parameter_filter is None or parameter_filter(path))
        for path, (_, leaf) in zip(paths, leaves, strict=True)
    ]
    if not any(chosen):
        raise errors.InvalidArgumentError(
            "parameter_filter selects no parameter; the parameters are "
            + ", ".join(paths)
        )

    def rebuild(selected):
        selected = iter(selected)
        values = [
            next(selected) if taken else leaf
            for taken, (_, leaf) in zip(chosen, leaves, strict=True)
        ]
        return jax.tree.unflatten(treedef, values)

    return [
        leaf for taken, (_, leaf) in zip(chosen, leaves, strict=True) if taken
    ], rebuild
