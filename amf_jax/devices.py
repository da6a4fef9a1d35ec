"""Several devices: the axes of a mesh as one line of them, and what each one takes.

Every device runs the same program on the same, replicated arguments, takes the share of
the work that its place in the line gives it, and comes away with the whole result.
Where the mesh is None, there is one device and it takes everything.
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
            "mesh must be a jax.sharding.Mesh, such as jax.make_mesh gives, or None for"
            f" one device; got {type(mesh).__name__}"
        )


def everywhere(mesh: Mesh | None, function: Callable) -> Callable:
    """`function` on every device, with replicated arguments and equal results."""
    if mesh is None:
        return function
    return jax.shard_map(
        function,
        mesh=_automatic(mesh),
        in_specs=PartitionSpec(),
        out_specs=PartitionSpec(),
        check_vma=False,
    )


def replicate(mesh: Mesh | None, tree: Any) -> Any:
    """The same arrays, held by every device.

    What a program hands on to its next call has to lie where that call will leave it,
    or the second call compiles anew.
    """
    if mesh is None:
        return tree
    whole = NamedSharding(_automatic(mesh), PartitionSpec())
    return jax.lax.with_sharding_constraint(tree, whole)


def place(mesh: Mesh) -> Int[Array, ""]:
    """Where this device stands in the line, from 0. Like all below, in `everywhere`."""
    return jax.lax.axis_index(mesh.axis_names)


def shard(mesh: Mesh | None, tree: Any) -> Any:
    """This device's rows of the leaves: place, place + D, ...

    All D devices get as many; where rows are missing, the last ones get zeros.
    """
    if mesh is None:
        return tree

    def rows(leaf):
        missing = -leaf.shape[0] % mesh.size
        if missing:
            leaf = jnp.pad(leaf, [(0, missing)] + [(0, 0)] * (leaf.ndim - 1))
        turns = leaf.reshape(-1, mesh.size, *leaf.shape[1:])
        return jax.lax.dynamic_index_in_dim(turns, place(mesh), 1, keepdims=False)

    return jax.tree.map(rows, tree)


def shard_size(mesh: Mesh, count: Int[Array, ""]) -> Int[Array, ""]:
    """How many of the first `count` rows are among those of this device."""
    return (count + mesh.size - 1 - place(mesh)) // mesh.size


def gather(mesh: Mesh | None, tree: Any, total: int) -> Any:
    """All `total` rows again, of which each device holds those of its shard."""
    if mesh is None:
        return tree

    def one(leaf):
        turns = jax.lax.all_gather(leaf, mesh.axis_names, axis=1)
        return turns.reshape(-1, *leaf.shape[1:])[:total]

    return jax.tree.map(one, tree)


def total(mesh: Mesh | None, tree: Any) -> Any:
    """The sum over the devices of what each one holds."""
    return tree if mesh is None else jax.lax.psum(tree, mesh.axis_names)


def mean(mesh: Mesh | None, tree: Any) -> Any:
    """The mean over the devices of what each one holds."""
    return tree if mesh is None else jax.lax.pmean(tree, mesh.axis_names)


def _automatic(mesh: Mesh) -> Mesh:
    """The same devices with automatic axes: `jax.make_mesh` gives explicit ones."""
    return Mesh(mesh.devices, mesh.axis_names)
