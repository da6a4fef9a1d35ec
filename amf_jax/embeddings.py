"""Embeddings: how a (state, task) pair becomes a point of a Gaussian process.

A policy linearised in its parameters is a Gaussian process whose kernel is the inner
product of per-example embeddings (section 4.2 of the paper). The loss gradient (Ash et
al., 2020) is the default embedding: `phi(s, c) = d loss(s, c, a) / d parameters`, with
the demonstrated action as the label.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from amf_jax import errors
from amf_jax.demonstrations import Demonstrations

Points = Any


class Embedding(NamedTuple):
    """Maps policy inputs to points, and points to covariances.

    Hyperparameters of a kernel travel inside the points, so that `kernel` is a function
    of two sets of points alone and a changed hyperparameter never recompiles.

    Attributes:
      embed: `(params, key, observations [n, S], actions [n, A], tasks [n, D]) ->
        points`, a pytree whose leaves lead with n.
      kernel: `(points [n], points [m]) -> [n, m]`.
      diagonal: `(points [n]) -> [n]`, the kernel of each point with itself.
    """

    embed: Callable[..., Points]
    kernel: Callable[[Points, Points], Array]
    diagonal: Callable[[Points], Array]


class FactoredGradient(NamedTuple):
    """The gradient of a dense last layer, kept as the two factors of its outer product.

    Attributes:
      features: activations `h` that enter the last layer.
      error: gradient of the loss with respect to the last layer's output.
    """

    features: Float[Array, "n d"]
    error: Float[Array, "n A"]


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
    if last_layer is None:
        raise errors.InvalidArgumentError(
            "last_layer must be a function, got None: this policy has no dense last"
            " layer; use loss_gradient with its loss instead"
        )

    def embed(params, key, observations, actions, tasks):
        def one(example):
            features, error = last_layer(params, key, *example)
            return FactoredGradient(features, error)

        return _batched(one, (observations, actions, tasks), microbatch_size)

    return Embedding(embed, factored_kernel, factored_diagonal)


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
        `"['params']['head']['kernel']"`; None is all of them.
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

        return _batched(one, (observations, actions, tasks), microbatch_size)

    return Embedding(embed, linear_kernel, linear_diagonal)


def linear_kernel(x: Float[Array, "n P"], y: Float[Array, "m P"]) -> Array:
    """`k(x, x') = <phi(x), phi(x')>` of explicit embeddings."""
    return x @ y.T


def linear_diagonal(x: Float[Array, "n P"]) -> Float[Array, " n"]:
    """`|phi(x)|^2` of explicit embeddings."""
    return jnp.sum(x**2, axis=-1)


def embed_relabelled(
    embedding: Embedding, params, key, demos: Demonstrations, tasks: Float[Array, "K D"]
) -> Points:
    """Points of every recorded state under every task: K * N * H, tasks leading."""
    shape = (tasks.shape[0], *demos.step_mask.shape)
    arrays = (demos.observations, demos.actions, tasks[:, None, None])
    flat = [
        jnp.broadcast_to(array, (*shape, array.shape[-1])).reshape(-1, array.shape[-1])
        for array in arrays
    ]
    return embedding.embed(params, key, *flat)


def embed_demonstration(
    embedding: Embedding, params, key, demos: Demonstrations, row
) -> Points:
    """The H points of one demonstration under the task it was given for."""
    observations, actions = demos.observations[row], demos.actions[row]
    task = demos.tasks[row]
    tasks = jnp.broadcast_to(task, (observations.shape[0], task.shape[0]))
    return embedding.embed(params, key, observations, actions, tasks)


def _batched(function: Callable, examples: tuple, microbatch_size: int | None):
    if microbatch_size is None:
        return jax.vmap(function)(examples)
    return jax.lax.map(function, examples, batch_size=microbatch_size)


def _partition(params, parameter_filter: Callable[[str], bool] | None):
    """The leaves to differentiate, and how to put them back among the others."""
    leaves, treedef = jax.tree_util.tree_flatten_with_path(params)
    paths = [jax.tree_util.keystr(path) for path, _ in leaves]
    chosen = [parameter_filter is None or parameter_filter(path) for path in paths]
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
