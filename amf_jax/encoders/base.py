"""The encoder seam: frozen parameters plus a pure function."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from amf_jax import errors, ranges, tiles
from amf_jax.demonstrations import named_leaves
from amf_jax.dtypes import compute_dtype, is_finite, real_numbers
from amf_jax.validation import is_concrete


@jax.tree_util.register_pytree_node_class
@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Encoder:
    """The frozen part of a policy.

    A pytree of `params` and `tasks`: give it to what you jit as an argument, so that
    its parameters are no constants of the program.

    Attributes:
      encode: `(params, observations [B, ...]) -> features [B, ...]`, pure, any pytree
        whose leaves lead with B; with `tasks`, `(params, observations [B, ...], tasks
        [B, D])`.
      params: frozen, any pytree of arrays.
      observed: what it takes of one step, as a pytree of `jax.ShapeDtypeStruct`.
      tasks: all tasks `[K, D]` that features are asked for under, where they depend on
        the task: the evaluation tasks first of all. Each step then has features under
        every one of them, for a policy from `on_features`. None where they do not.
      microbatch_size: observations that are encoded at a time. The features are the
        same for every size, but for rounding.

    Raises:
      InvalidArgumentError: `observed` is no such pytree, `tasks` are no finite vectors,
        or the size is no whole number of at least 1.
    """

    encode: Callable[..., Any]
    params: Any
    observed: Any
    tasks: Any = None
    microbatch_size: int = 64

    def __post_init__(self):
        ranges.check("microbatch_size", self.microbatch_size, ranges.COUNT)
        leaves = jax.tree.leaves(self.observed)
        if not leaves or not all(isinstance(x, jax.ShapeDtypeStruct) for x in leaves):
            raise errors.InvalidArgumentError(
                "observed must be a pytree of jax.ShapeDtypeStruct, what is observed in"
                f" one step, got {self.observed!r}"
            )
        held = jax.tree.map(jnp.asarray, self.params)
        object.__setattr__(self, "params", held)
        if self.tasks is None or not is_concrete(self.tasks):
            return
        tasks = real_numbers(self.tasks)
        if tasks is None or tasks.ndim != 2 or not is_finite(tasks).all():
            raise errors.InvalidArgumentError(
                "tasks must hold task vectors as [K, D], which are finite, or be None;"
                f" got {self.tasks!r}"
            )
        object.__setattr__(self, "tasks", jnp.asarray(tasks, compute_dtype(tasks)))

    def tree_flatten(self):
        """Parameters and tasks are what is traced."""
        leaves, treedef = jax.tree.flatten(self.observed)
        static = self.encode, treedef, tuple(leaves), self.microbatch_size
        return (self.params, self.tasks), static

    @classmethod
    def tree_unflatten(cls, static, children):
        """The same, whatever stands in for the arrays."""
        encode, treedef, leaves, size = static
        observed = jax.tree.unflatten(treedef, leaves)
        new, (params, tasks) = object.__new__(cls), children
        values = encode, params, observed, tasks, size
        vars(new).update(zip(cls.__dataclass_fields__, values, strict=True))
        return new


def encode(encoder: Encoder, observations: Any, tasks: Float[Array, "*batch D"]) -> Any:
    """Features of observations under the task of each: what a policy sees that acts.

    Pure, and jittable. Under the task of `tasks` alone, whose features stand in for
    those under every other one where demonstrations have an axis of K for them.

    Args:
      encoder: the frozen part.
      observations: leaves lead with any axes, those of `tasks` and further ones.
      tasks: task vectors.

    Raises:
      InvalidArgumentError: observations that the encoder does not take.

    Example:
      >>> image = jax.ShapeDtypeStruct((2, 2), jnp.uint8)
      >>> mean = lambda scale, images: scale * images.mean(axis=(1, 2))[:, None]
      >>> encoder = Encoder(encode=mean, params=2.0, observed=image)
      >>> seen = jnp.full((3, 2, 2), 4, jnp.uint8)
      >>> print(encode(encoder, seen, tasks=jnp.zeros((3, 1))).ravel())
      [8. 8. 8.]
    """
    observations, lead = _as_observed(encoder, observations)
    if encoder.tasks is None:
        return _features(encoder, observations, lead)
    between = range(tasks.ndim - 1, len(lead))
    asked = jnp.broadcast_to(jnp.expand_dims(tasks, between), (*lead, tasks.shape[-1]))
    count = encoder.tasks.shape[0]

    def under_all(leaf):
        shape = *lead, count, *leaf.shape[len(lead) :]
        return jnp.broadcast_to(jnp.expand_dims(leaf, len(lead)), shape)

    return jax.tree.map(under_all, _features(encoder, observations, lead, asked))


def stored(encoder: Encoder, observations: Any) -> Any:
    """Features as demonstrations hold them: under every task of the encoder.

    Args:
      encoder: the frozen part.
      observations: leaves lead with any axes.

    Returns:
      Features; behind the leading axes, leaves have one of K where tasks matter.

    Raises:
      InvalidArgumentError: observations that the encoder does not take.
    """
    observations, lead = _as_observed(encoder, observations)
    if encoder.tasks is None:
        return _features(encoder, observations, lead)

    def under(task: Float[Array, " D"]):
        asked = jnp.broadcast_to(task, (*lead, task.shape[0]))
        return _features(encoder, observations, lead, asked)

    found = jax.lax.map(under, encoder.tasks)
    return jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, len(lead)), found)


def feature_spec(encoder: Encoder) -> Any:
    """What demonstrations hold of one step: a `jax.ShapeDtypeStruct` for each leaf.

    With it `demonstrations.empty` makes the buffer that features are collected into.

    Raises:
      InvalidArgumentError: the encoder does not keep the leading axis.

    Example:
      >>> image = jax.ShapeDtypeStruct((8, 8, 3), jnp.uint8)
      >>> flat = lambda params, images: images.reshape(len(images), -1) @ params
      >>> encoder = Encoder(encode=flat, params=jnp.ones((192, 5)), observed=image)
      >>> print(feature_spec(encoder))
      ShapeDtypeStruct(shape=(5,), dtype=float32)
    """
    two = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((2, *leaf.shape), leaf.dtype),
        encoder.observed,
    )
    found = jax.eval_shape(stored, encoder, two)
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), found
    )


def _as_observed(encoder: Encoder, observations: Any) -> tuple[Any, tuple[int, ...]]:
    """Observations of the types that the encoder takes, and their leading axes."""
    wanted = named_leaves("observations", encoder.observed)
    given = named_leaves("observations", observations)
    names, there = ([name for name, _ in leaves] for leaves in (wanted, given))
    if names != there:
        raise errors.InvalidArgumentError(
            f"the encoder takes {', '.join(names)}, got {', '.join(there) or 'nothing'}"
        )
    leaves, leads = [], []
    for (name, spec), (_, leaf) in zip(wanted, given, strict=True):
        shape, dtype = np.shape(leaf), jnp.result_type(leaf)
        axes = len(shape) - len(spec.shape)
        fits = axes > 0 and shape[axes:] == spec.shape
        if not fits or not np.can_cast(dtype, spec.dtype, "same_kind"):
            raise errors.InvalidArgumentError(
                f"the encoder takes {name} as {spec.dtype} of shape {spec.shape},"
                f" behind the axes of a batch; got {dtype} of shape {shape}"
            )
        leaves.append(jnp.asarray(leaf).astype(spec.dtype))
        leads.append(shape[:axes])
    if len(set(leads)) > 1:
        raise errors.InvalidArgumentError(
            f"observations must all lead with the axes of a batch, got {leads}"
        )
    return jax.tree.unflatten(jax.tree.structure(encoder.observed), leaves), leads[0]


def _features(
    encoder: Encoder, observations: Any, lead: tuple[int, ...], *tasks: Array
) -> Any:
    """Features of a microbatch at a time, the last one filled up with its last."""
    given = jax.tree.map(
        lambda leaf: leaf.reshape(-1, *leaf.shape[len(lead) :]), (observations, *tasks)
    )
    count = int(np.prod(lead))
    size = min(count, encoder.microbatch_size)

    def one(part):
        found = encoder.encode(encoder.params, *part)
        for leaf in jax.tree.leaves(found):
            if jnp.shape(leaf)[:1] != (size,):
                raise errors.InvalidArgumentError(
                    "encode must return features whose leaves lead with the axis of"
                    f" its observations, {size} here; got shape {jnp.shape(leaf)}"
                )
        return found

    if count == size:
        found = one(given)
    else:
        parts = tiles.cut(tiles.filled_up(given, size), size)
        by_part = jax.lax.map(one, parts)
        found = jax.tree.map(
            lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:count], by_part
        )
    return jax.tree.map(lambda leaf: leaf.reshape(*lead, *leaf.shape[1:]), found)
