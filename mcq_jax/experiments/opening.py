"""`open_model`: a run's checkpoint, its parameters where they are to lie."""

import dataclasses
import math
from typing import Any

import jax

from mcq_jax import learned, planted, sharding
from mcq_jax.checkpoints import Checkpoint, load
from mcq_jax.experiments.config import RunConfig
from mcq_jax.model import Parameters
from mcq_jax.results import content_hash


def open_model(config: RunConfig) -> tuple[Checkpoint, planted.Truth | None]:
    """Returns the checkpoint, and the truth about it if it is a planted one."""
    if config.model == "planted":
        return _plant(config)
    is_ours = config.model == "learned"
    checkpoint = load(
        learned.CHECKPOINT if is_ours else config.model,
        dtype=config.dtype,
        weights=config.weights_as,
        shardings=(lambda shapes: _place(config, shapes))
        if _is_split(config)
        else None,
    )
    return checkpoint, None


def _plant(config: RunConfig) -> tuple[Checkpoint, planted.Truth]:
    if config.dtype != "float32":
        raise ValueError(f"planted models are float32, not {config.dtype!r}.")
    if config.weights_as != "full":
        raise ValueError(
            f"planted models have full weights, not {config.weights_as!r}."
        )
    model = planted.plant(
        config.planted_seed,
        choices=config.planted_choices,
        variant=planted.Variant[config.planted_variant.upper()],
    )
    recipe = (config.planted_seed, config.planted_choices, config.planted_variant)
    parameters = model.parameters
    if _is_split(config):
        parameters = sharding.place(parameters, _place(config, parameters))
    checkpoint = Checkpoint(
        parameters=parameters,
        config=model.config,
        tokenizer=model.tokenizer,
        name=f"planted circuit {config.planted_seed}",
        content_hash=content_hash("planted", *recipe),
    )
    return checkpoint, model.truth


def _is_split(config: RunConfig) -> bool:
    """Whether a run uses a mesh: where one is asked for, or there is more to use."""
    if config.mesh != "auto":
        return True
    is_alone = jax.process_count() == 1
    return jax.device_count() > 1 and not (is_alone and jax.default_backend() == "cpu")


def _place(config: RunConfig, shapes: Parameters) -> Any:
    """Returns the sharding of every parameter, on the mesh of all devices."""
    segment = shapes.layers[0]
    layer = _bytes_of(segment) // jax.tree.leaves(segment)[0].shape[0]
    mesh = sharding.make_mesh(
        _Heads(*segment["attention"]["query"].shape[-4:-2]),
        None if config.mesh == "auto" else config.mesh,
        parameter_bytes=_bytes_of(shapes),
        layer_bytes=layer if config.fully_sharded else None,
    )
    return sharding.parameter_shardings(
        shapes, mesh, fully_sharded=config.fully_sharded
    )


def _bytes_of(shapes: Any) -> int:
    leaves = jax.tree.leaves(shapes)
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves)


@dataclasses.dataclass(frozen=True)
class _Heads:
    """What the shape of a query's weights says of a model."""

    kv_heads: int
    group: int
