"""Stored tensors into our parameters: which name goes where, and in which layout.

A container (safetensors, GGUF) gives `StoredTensor`s, a family gives `Names`; this
file checks that the two fit the config, then fills the final arrays piece by piece,
so that no second copy of the model is ever in memory.
"""

import dataclasses
import functools
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mcq_jax.checkpoints.quantising import stream_int8
from mcq_jax.checkpoints.shardings import Shardings, dtype_of, sharding_of_each
from mcq_jax.checkpoints.streaming import Layout, StoredTensor, stream
from mcq_jax.checkpoints.views import View
from mcq_jax.model import ModelConfig, Parameters, parameter_shapes
from mcq_jax.model.parameters import Group
from mcq_jax.parameter_table import Kind, parameter

# Where a leaf of the parameters is: part ("embed", "layers", "unembed"), Haiku
# module, name.
Leaf = tuple[str, str, str]

UNEMBED_TABLE: Leaf = ("unembed", "~", "table")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Names:
    """How a file names the tensors of a family."""

    # The stored name of each leaf; "{layer}" stands for the layer's index.
    stored: Mapping[Leaf, str]
    # Stored names (regular expressions) that are no weights of ours.
    ignored: tuple[str, ...] = ()
    # Leaves whose rows alternate between the halves of each head, for rotary positions
    # that pair neighbours (2i, 2i + 1); ours pair i with i + half.
    interleaved: frozenset[str] = frozenset()
    # Leaves that their tensor does not hold as they are.
    views: Mapping[Leaf, View] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Description:
    """What a checkpoint says about its model."""

    config: ModelConfig
    names: Names


def build_parameters(
    tensors: Mapping[str, StoredTensor],
    description: Description,
    *,
    dtype: np.dtype,
    sizes: Sequence[int],
    shardings: Shardings = None,
    is_int8: bool = False,
) -> Parameters:
    """Returns the parameters as device arrays, in segments of the given sizes.

    With `is_int8`, the matrices of the layers are `Int8Weight`s.
    """
    config, names = description.config, description.names
    shapes = _leaf_shapes(config)
    check_sizes(sizes, config)
    check_tensors(tensors, description)
    targets = sharding_of_each(shardings, config, sizes=sizes, dtype=dtype)

    def part(name: str, target: Any, layers: range | None = None) -> Group:
        group: dict = {}
        for leaf, shape in shapes.items():
            if leaf[0] != name:
                continue
            _, module, own_name = leaf

            def tensor(layer: int, leaf: Leaf = leaf, shape=shape) -> StoredTensor:
                return _stored(leaf, shape, names, tensors, layer)

            layout = _layout(leaf, shape, names, config)
            to = {
                "dtype": dtype_of(own_name, dtype),
                "sharding": target[module][own_name],
            }
            if layers is None:
                array = stream(tensor(0), layout, **to)
            else:
                place = (
                    stream_int8 if is_int8 and parameter(own_name).is_matrix else stream
                )
                array = place([tensor(i) for i in layers], layout, **to)
            group.setdefault(module, {})[own_name] = array
        return group

    embed, unembed = part("embed", targets.embed), part("unembed", targets.unembed)
    segments = zip(targets.layers, _segments(sizes), strict=True)
    layers = tuple(part("layers", target, layers) for target, layers in segments)
    return Parameters(embed=embed, layers=layers, unembed=unembed)


def check_tensors(
    tensors: Mapping[str, StoredTensor], description: Description
) -> None:
    """Raises ValueError for tensors that are missing, unknown or misshapen."""
    config, names = description.config, description.names
    expected = {}
    for leaf, shape in _leaf_shapes(config).items():
        for layer in range(config.layers if leaf[0] == "layers" else 1):
            stored_shape = _view(leaf, names).stored_shape(_stored_shape(leaf, shape))
            expected[_stored_name(leaf, names, layer)] = stored_shape
    found = {n for n in tensors if not any(re.fullmatch(p, n) for p in names.ignored)}
    _refuse("missing", [n for n in expected if n not in found], len(expected))
    _refuse("unknown", sorted(found - expected.keys()), len(expected))
    for name, shape in expected.items():
        if tensors[name].shape != shape:
            raise ValueError(
                f"Tensor {name} has shape {tensors[name].shape}, but the checkpoint's "
                f"config asks for {shape}; config and weights do not belong together."
            )


def _refuse(what: str, bad: list[str], expected: int) -> None:
    if bad:
        shown = ", ".join(bad[:8]) + (", …" if len(bad) > 8 else "")
        raise ValueError(
            f"{len(bad)} tensors of the checkpoint are {what}: {shown}. Its config "
            f"asks for {expected} tensors; check that the files are complete and of a "
            "supported model."
        )


def check_sizes(sizes: Sequence[int], config: ModelConfig) -> None:
    """Raises ValueError for segments that do not make up the model."""
    if sum(sizes) != config.layers or min(sizes) < 1:
        raise ValueError(
            f"segments of {tuple(sizes)} layers for {config.layers} layers; give sizes "
            "of at least 1 that add up to the number of layers."
        )


def _segments(sizes: Sequence[int]) -> list[range]:
    ends = np.cumsum(sizes).tolist()
    return [range(end - size, end) for size, end in zip(sizes, ends, strict=True)]


def _leaf_shapes(config: ModelConfig) -> dict[Leaf, tuple[int, ...]]:
    """The shape of every leaf, for one layer."""
    shapes = parameter_shapes(config)
    groups = {
        "embed": shapes.embed,
        "layers": shapes.layers[0],
        "unembed": shapes.unembed,
    }
    return {
        (part, module, name): array.shape
        for part, group in groups.items()
        for module, arrays in group.items()
        for name, array in arrays.items()
    }


def _stored_name(leaf: Leaf, names: Names, layer: int) -> str:
    if leaf not in names.stored:
        raise ValueError(
            f"The config asks for parameter {'/'.join(leaf)}, which this family of "
            "checkpoints has no tensor for; check the config."
        )
    return names.stored[leaf].format(layer=layer)


def _stored(
    leaf: Leaf,
    shape: tuple[int, ...],
    names: Names,
    tensors: Mapping[str, StoredTensor],
    layer: int,
) -> StoredTensor:
    """A leaf's tensor as the leaf sees it."""
    name = _stored_name(leaf, names, layer)
    tensor = tensors[name]
    if leaf not in names.views:
        return dataclasses.replace(tensor, name=name)
    read = functools.partial(_view(leaf, names).read, tensor)
    return StoredTensor(shape=_stored_shape(leaf, shape), read=read, name=name)


def _view(leaf: Leaf, names: Names) -> View:
    return names.views.get(leaf, _AS_IT_IS)


_AS_IT_IS = View()


def _stored_shape(leaf: Leaf, shape: tuple[int, ...]) -> tuple[int, ...]:
    kind = parameter(leaf[2]).kind
    if kind in (Kind.GAIN, Kind.BIAS):
        return (math.prod(shape),)
    rows, width = math.prod(shape[:-1]), shape[-1]
    return (width, rows) if kind is Kind.WRITING else (rows, width)


def _layout(
    leaf: Leaf, shape: tuple[int, ...], names: Names, config: ModelConfig
) -> Layout:
    # Matrices are stored as [output, input]; the last axis of ours is the width.
    kind = parameter(leaf[2]).kind
    is_vector = kind in (Kind.GAIN, Kind.BIAS)
    layout = Layout(
        shape=shape,
        leading=len(shape) if is_vector else len(shape) - 1,
        is_turned=kind is Kind.WRITING,
    )
    if leaf[2] not in names.interleaved:
        return layout
    return dataclasses.replace(
        layout,
        multiple=config.head_width,
        prepare=functools.partial(_uninterleave, config=config),
    )


def _uninterleave(rows: np.ndarray, config: ModelConfig) -> np.ndarray:
    """Puts the even rows of each head's rotating part before the odd ones."""
    heads = rows.reshape(-1, config.head_width, *rows.shape[1:])
    turning = heads[:, : config.rotary_width]
    halves = (turning[:, 0::2], turning[:, 1::2], heads[:, config.rotary_width :])
    return np.concatenate(halves, axis=1).reshape(rows.shape)
