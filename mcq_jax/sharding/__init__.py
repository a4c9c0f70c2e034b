"""The same code on one device, eight, or many hosts: where every array lies."""

from mcq_jax.sharding.collectives import Collective, collectives
from mcq_jax.sharding.hosts import is_first_host, join_hosts
from mcq_jax.sharding.mesh import (
    MeshShape,
    choose_shape,
    make_mesh,
    memory_of,
    model_sizes,
    shape_of,
    split_model,
)
from mcq_jax.sharding.placement import (
    gather_weights,
    on_every_host,
    rows_over_data,
    shard_parameters,
    shares_to_fill_data,
    use_mesh,
)
from mcq_jax.sharding.rules import MESH_AXES, PARAMETER_AXES, parameter_shardings

__all__ = [
    "MESH_AXES",
    "PARAMETER_AXES",
    "Collective",
    "MeshShape",
    "choose_shape",
    "collectives",
    "gather_weights",
    "is_first_host",
    "join_hosts",
    "make_mesh",
    "memory_of",
    "model_sizes",
    "on_every_host",
    "parameter_shardings",
    "rows_over_data",
    "shape_of",
    "shard_parameters",
    "shares_to_fill_data",
    "split_model",
    "use_mesh",
]
