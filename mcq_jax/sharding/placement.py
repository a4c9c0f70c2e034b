"""Puts parameters on a mesh, and says where rows and weights lie inside a pass.

The passes themselves know no mesh. Inside `use_mesh` they lay their rows over "data"
and gather fully sharded weights by the two functions at the end, which do nothing
without a mesh.
"""

import contextlib
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from mcq_jax.sharding import rules


def use_mesh(mesh: Mesh) -> contextlib.AbstractContextManager:
    """Returns the context in which passes run on a mesh: `with use_mesh(mesh): …`.

    Arrays made in it lie on the whole mesh, so host arrays that every process holds
    alike (tokens, masks) can be passed in as they are.
    """
    return jax.set_mesh(mesh)


def use_mesh_of(parameters: Any) -> contextlib.AbstractContextManager:
    """Returns `use_mesh` of the mesh that parameters lie on; does nothing without."""
    lies = getattr(jax.tree.leaves(parameters)[0], "sharding", None)
    mesh = getattr(lies, "mesh", None)
    return use_mesh(mesh) if isinstance(mesh, Mesh) else contextlib.nullcontext()


def shard_parameters(parameters: Any, mesh: Mesh, *, fully_sharded: bool = False):
    """Returns the parameters on a mesh."""
    shardings = rules.parameter_shardings(parameters, mesh, fully_sharded=fully_sharded)
    return place(parameters, shardings)


def place(parameters: Any, shardings: Any):
    """Returns the parameters by a tree of shardings, as `shard_parameters` does."""
    return jax.tree.map(_place, parameters, shardings)


def on_every_host(tree: Any) -> Any:
    """Returns sharded arrays as whole numpy arrays, the same in every process.

    For results (logits, effects): what comes back is held by each host in full.
    """
    if jax.process_count() == 1:
        return jax.tree.map(np.asarray, tree)
    whole = jax.sharding.NamedSharding(jax.sharding.get_mesh(), PartitionSpec())
    copied = jax.jit(_same, out_shardings=whole)(tree)
    return jax.tree.map(lambda a: np.asarray(a.addressable_data(0)), copied)


def fill_data_axis(prompts: np.ndarray) -> np.ndarray:
    """Returns a batch's prompts, the last repeated until "data" divides their number.

    The repetitions are dummies: drop their rows. Without a mesh there are none.
    """
    missing = -len(prompts) % data_parts()
    return np.concatenate([prompts, np.repeat(prompts[-1:], missing)])


def rows_over_data(tree: Any, *, leading: int = 1) -> Any:
    """Lays the first of the leading axes that divides evenly over "data".

    What does not go round evenly stays whole: every part of the mesh then runs all.

    Args:
        leading: how many leading axes are independent runs, the best to split first.
    """
    parts = data_parts()

    def lay(array):
        even = [i for i, n in enumerate(array.shape[:leading]) if n % parts == 0]
        if parts == 1 or not even:
            return array
        axes = [PartitionSpec.UNCONSTRAINED] * array.ndim
        axes[even[0]] = "data"
        return jax.lax.with_sharding_constraint(array, PartitionSpec(*axes))

    return jax.tree.map(lay, tree)


def place_over_data(tree: Any, *, axes: Sequence[int]) -> Any:
    """Returns host arrays on the mesh, the first even one of the axes over "data".

    For what belongs to prompts or their sources: whole on every device, it would grow
    with their number.
    """
    mesh = jax.sharding.get_mesh()
    if mesh.empty:
        return jax.tree.map(jnp.asarray, tree)

    def put(array):
        spec = _over_data(array.shape, axes=axes)
        return _place(array, jax.sharding.NamedSharding(mesh, spec))

    return jax.tree.map(put, tree)


def shape_over_data(
    shape: Sequence[int], dtype: Any, *, axes: Sequence[int]
) -> jax.ShapeDtypeStruct:
    """Returns an array's shape as `place_over_data` would lay the array."""
    mesh = jax.sharding.get_mesh()
    if mesh.empty:
        return jax.ShapeDtypeStruct(shape, dtype)
    lies = jax.sharding.NamedSharding(mesh, _over_data(shape, axes=axes))
    return jax.ShapeDtypeStruct(shape, dtype, sharding=lies)


def _over_data(shape: Sequence[int], *, axes: Sequence[int]) -> PartitionSpec:
    """The partition that lays the first even one of the axes over "data"."""
    even = [axis for axis in axes if shape[axis] % data_parts() == 0]
    return PartitionSpec(*[None] * even[0], "data") if even else PartitionSpec()


def data_parts() -> int:
    """Returns into how many parts the mesh splits prompts; 1 without a mesh."""
    return _mesh_sizes().get("data", 1)


def devices_in_use() -> int:
    """Returns how many devices the mesh has; 1 without a mesh."""
    return math.prod(_mesh_sizes().values())


def shares_to_fill_data(prompts: int, sources: int) -> int:
    """Returns into how many shares the rows of each source are split, at the least.

    With these, one of the two axes divides evenly over "data".
    """
    parts = data_parts()
    if prompts % parts == 0:
        return 1
    return parts // math.gcd(sources, parts)


def gather_weights(group: Any) -> Any:
    """Returns one layer's weights, whole over "data"; a no-op unless fully sharded."""
    sizes = _mesh_sizes()
    if data_parts() == 1:
        return group

    def gather(path, weight):
        spec = rules.whole_over_data(path, weight, sizes)
        return jax.lax.with_sharding_constraint(weight, spec)

    return jax.tree_util.tree_map_with_path(gather, group)


def _same(tree):
    """At the top of the module, so that it is compiled once for every kind of tree."""
    return tree


def _place(leaf, sharding):
    """One array on its devices; of several hosts each cuts its parts from its own."""
    if isinstance(leaf, np.ndarray) or not sharding.is_fully_addressable:
        host = np.asarray(leaf)
        return jax.make_array_from_callback(host.shape, sharding, lambda i: host[i])
    return jax.device_put(leaf, sharding)


def _mesh_sizes():
    return jax.sharding.get_abstract_mesh().shape
