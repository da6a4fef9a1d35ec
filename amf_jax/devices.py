"""Several devices: the axes of a mesh as one line of them, and what each one takes.

Every device runs the same program on the same, replicated arguments, takes the share of
the work that its place in the line gives it, and comes away with the whole result.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Int

from amf_jax import errors


def check(mesh: Any) -> None:
    """Raises `InvalidArgumentError` if this is neither None nor a mesh of devices."""
    if mesh is not None and not isinstance(mesh, Mesh):
        raise errors.InvalidArgumentError(
            "mesh must be a jax.sharding.Mesh, as of jax.make_mesh, or None for one"
            f" device, got {type(mesh).__name__}"
        )


def everywhere(mesh: Mesh, function: Callable) -> Callable:
    """`function` on every device, with replicated arguments and equal results."""
    return jax.shard_map(
        function,
        mesh=_automatic(mesh),
        in_specs=PartitionSpec(),
        out_specs=PartitionSpec(),
        check_vma=False,
    )


def replicate(mesh: Mesh | None, tree: Any) -> Any:
    """The same arrays, held by every device; None leaves them where they are.

    What a program hands to its own next call has to lie where that call leaves it, or
    the second call would compile anew.
    """
    if mesh is None:
        return tree
    whole = NamedSharding(_automatic(mesh), PartitionSpec())
    return jax.lax.with_sharding_constraint(tree, whole)


def place(mesh: Mesh) -> Int[Array, ""]:
    """Where this device stands in the line, from 0; inside `everywhere` alone."""
    return jax.lax.axis_index(mesh.axis_names)


def dealt(mesh: Mesh, values: Array) -> Array:
    """This device's rows of `values`, dealt in turns: place, place + D, ...

    All devices get as many; where there are too few rows, the last ones get zeros.
    """
    missing = -values.shape[0] % mesh.size
    padded = jnp.pad(values, [(0, missing)] + [(0, 0)] * (values.ndim - 1))
    turns = padded.reshape(-1, mesh.size, *values.shape[1:])
    return jax.lax.dynamic_index_in_dim(turns, place(mesh), 1, keepdims=False)


def number_dealt(mesh: Mesh, count: Int[Array, ""]) -> Int[Array, ""]:
    """How many of the first `count` rows are among those of this device."""
    return (count + mesh.size - 1 - place(mesh)) // mesh.size


def gathered(mesh: Mesh, values: Array, total: int) -> Array:
    """All `total` rows again, of which each device holds those that it was dealt."""
    turns = jax.lax.all_gather(values, mesh.axis_names, axis=1)
    return turns.reshape(-1, *values.shape[1:])[:total]


def _automatic(mesh: Mesh) -> Mesh:
    """The same devices with automatic axes; `jax.make_mesh` gives explicit ones."""
    return Mesh(mesh.devices, mesh.axis_names)
