"""The same code on one device, eight, or many hosts: where every array lies."""

from mcq_jax.sharding.chunks import Chunk, Track, prompts_run_at_once, run_chunks
from mcq_jax.sharding.collectives import Collective, collectives
from mcq_jax.sharding.hosts import (
    FirstHostError,
    is_first_host,
    join_hosts,
    make_room_for_exchanges,
    on_first_host,
)
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
    data_parts,
    devices_in_use,
    fill_data_axis,
    gather_weights,
    on_every_host,
    place,
    place_over_data,
    rows_over_data,
    shape_over_data,
    shard_parameters,
    shares_to_fill_data,
    use_mesh,
    use_mesh_of,
)
from mcq_jax.sharding.rules import MESH_AXES, parameter_shardings
from mcq_jax.sharding.stopping import Stopped, check_stop, stopping_on_sigterm

__all__ = [
    "MESH_AXES",
    "Chunk",
    "Collective",
    "FirstHostError",
    "MeshShape",
    "Stopped",
    "Track",
    "check_stop",
    "choose_shape",
    "collectives",
    "data_parts",
    "devices_in_use",
    "fill_data_axis",
    "gather_weights",
    "is_first_host",
    "join_hosts",
    "make_mesh",
    "make_room_for_exchanges",
    "memory_of",
    "model_sizes",
    "on_every_host",
    "on_first_host",
    "parameter_shardings",
    "place",
    "place_over_data",
    "prompts_run_at_once",
    "rows_over_data",
    "run_chunks",
    "shape_of",
    "shape_over_data",
    "shard_parameters",
    "shares_to_fill_data",
    "split_model",
    "stopping_on_sigterm",
    "use_mesh",
    "use_mesh_of",
]
