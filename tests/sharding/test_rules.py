"""Meshes are split as said, and what cannot be split is refused by name."""

import dataclasses

import jax
import pytest
from jax.sharding import PartitionSpec as P

from mcq_jax import sharding
from mcq_jax.model import ModelConfig, parameter_shapes
from tests.sharding import small_runs as runs


@dataclasses.dataclass(frozen=True)
class Heads:
    kv_heads: int
    group: int


@pytest.mark.parametrize(
    ("heads", "model", "parts"),
    [
        (Heads(8, 1), 4, (4, 1)),
        (Heads(8, 8), 8, (8, 1)),
        (Heads(8, 8), 16, (8, 2)),
        (Heads(1, 8), 8, (1, 8)),
        (Heads(6, 1), 3, (3, 1)),
    ],
)
def test_key_value_heads_are_split_before_their_query_heads(heads, model, parts):
    assert sharding.split_model(heads, model) == parts


@pytest.mark.parametrize(
    ("heads", "model"), [(Heads(2, 7), 8), (Heads(6, 2), 4), (Heads(4, 1), 8)]
)
def test_heads_that_do_not_split_evenly_are_refused_with_what_does(heads, model):
    sizes = ", ".join(map(str, sharding.model_sizes(heads)))
    with pytest.raises(ValueError, match=f"they do over {sizes}"):
        sharding.split_model(heads, model)


def test_every_offered_model_size_splits_the_heads():
    for heads in (Heads(2, 7), Heads(6, 2), Heads(1, 8), Heads(8, 5)):
        for size in sharding.model_sizes(heads):
            kv, group = sharding.split_model(heads, size)
            assert kv * group == size
            assert heads.kv_heads % kv == heads.group % group == 0


def test_a_mesh_is_read_from_text():
    shape = sharding.MeshShape.parse("data=4, model=8", devices=32)
    assert shape == sharding.MeshShape(4, 8)
    assert sharding.MeshShape.parse("model=8", devices=32) == shape
    assert str(shape) == "data=4,model=8"


@pytest.mark.parametrize("text", ["data=4", "rows=4", "data=x", "data", ""])
def test_a_mesh_that_makes_no_sense_is_refused(text: str):
    with pytest.raises(ValueError, match="mesh"):
        sharding.MeshShape.parse(text, devices=6)


def test_the_model_is_split_no_further_than_its_weights_demand():
    def chosen(parameter_bytes):
        return sharding.choose_shape(
            Heads(8, 8), 32, parameter_bytes=parameter_bytes, device_bytes=16
        )

    assert chosen(9) == sharding.MeshShape(32, 1)
    assert chosen(19) == sharding.MeshShape(16, 2)
    assert chosen(10_000) == sharding.MeshShape(1, 32)


def test_fully_sharded_weights_split_the_model_only_for_the_layers_in_use():
    def chosen(layer_bytes):
        return sharding.choose_shape(
            Heads(8, 8),
            32,
            parameter_bytes=160,  # 5 on each device
            layer_bytes=layer_bytes,
            device_bytes=16,
        )

    assert chosen(2) == sharding.MeshShape(32, 1)
    assert chosen(4) == sharding.MeshShape(16, 2)
    assert chosen(1000) == sharding.MeshShape(1, 32)


def _specs(config: ModelConfig, mesh, **options):
    shapes = parameter_shapes(config)
    placed = sharding.parameter_shardings(shapes, mesh, **options)
    return jax.tree.map(lambda s: s.spec, placed)


def _mesh(**sizes: int):
    """An abstract mesh: rules need no devices."""
    return jax.sharding.AbstractMesh(tuple(sizes.values()), tuple(sizes))


def test_heads_neurons_and_vocabulary_lie_along_the_model_axis():
    config = runs.config_of("grouped heads, one stack")
    specs = _specs(config, _mesh(data=2, kv=2, group=2))
    attention, block = specs.layers[0]["attention"], specs.layers[0]["feedforward"]
    assert attention["query"] == P("kv", "group", None, None)
    assert attention["key"] == attention["value"] == P("kv", None, None)
    assert attention["output"] == P("kv", "group", None, None)
    assert attention["query_bias"] == P("kv", "group", None)
    assert attention["norm_gain"] == P(None)
    assert block["up"] == P(("kv", "group"), None)
    assert block["down"] == P(("kv", "group"), None)
    assert specs.embed["~"]["table"] == P(("kv", "group"), None)


def test_fully_sharded_layers_also_lie_along_the_data_axis():
    config = runs.config_of("grouped heads, one stack")
    mesh = _mesh(data=2, kv=2, group=2)
    specs = _specs(config, mesh, fully_sharded=True)
    attention = specs.layers[0]["attention"]
    assert attention["query"] == P("kv", "group", None, "data")
    assert attention["output"] == P("kv", "group", None, "data")
    assert attention["norm_gain"] == P(None)
    assert specs.embed == _specs(config, mesh).embed


def test_a_table_of_uneven_length_is_held_whole_and_uneven_neurons_are_refused():
    config = runs.config_of("grouped heads, one stack")
    mesh = _mesh(data=1, kv=2, group=2)
    odd_table = dataclasses.replace(config, vocabulary=47)
    assert _specs(odd_table, mesh).embed["~"]["table"] == P(None, None)
    odd_neurons = dataclasses.replace(config, neurons=42)
    with pytest.raises(ValueError, match="42 neurons .* 4 devices"):
        _specs(odd_neurons, mesh)


def test_a_parameter_without_a_rule_is_refused_by_name():
    mesh = _mesh(data=1, kv=1, group=1)
    shape = jax.ShapeDtypeStruct((3,), "float32")
    with pytest.raises(ValueError, match="'mystery'"):
        sharding.parameter_shardings({"attention": {"mystery": shape}}, mesh)


def test_a_tied_table_stays_one_array():
    config, parameters = runs.model_of("grouped heads, one stack")
    mesh = sharding.make_mesh(config, devices=jax.devices()[:1])
    placed = sharding.shard_parameters(parameters, mesh)
    assert config.tied and "table" not in placed.unembed["~"]


@pytest.mark.parametrize(
    ("line", "kind", "size", "devices"),
    [
        ("%a = f32[2,3]{1,0} all-reduce(%x), replica_groups={{0,1},{2,3}}",
         "all-reduce", 24, 2),
        ("%a = (bf16[4]{0}, bf16[4,8]{1,0}) all-gather-start(%x), "
         "replica_groups=[2,8]<=[16]", "all-gather", 64, 8),
        ("%a = (f32[5], pred[2]{0}) all-to-all(%x), "
         "replica_groups=mesh['a'=2,'b'=4] {'b'}", "all-to-all", 22, 4),
        ("%a = s32[7] collective-permute(%x), source_target_pairs={{0,1},{1,0}}",
         "collective-permute", 28, 2),
    ],
)  # fmt: skip
def test_exchanges_are_read_from_a_compiled_program(line, kind, size, devices):
    (found,) = sharding.collectives(line)
    assert (found.kind, found.bytes, found.devices) == (kind, size, devices)


def test_an_exchange_beside_several_computations_counts_once():
    line = "%g{} = f32[8] all-gather(%x), channel_id={}, replica_groups={{{{0,1}}}}"
    text = "\n".join(line.format(*names) for names in [(1, 4), (2, 4), (3, 5)])
    assert len(sharding.collectives(text)) == 2


def test_results_that_merely_read_an_exchange_do_not_count_as_one():
    line = "%f = f32[2] fusion(%all-reduce.9, %all-gather), kind=kLoop, calls=%c"
    assert not sharding.collectives(line)
    alone = "%a = f32[2] all-reduce(%x), replica_groups={{0},{1}}"
    assert not sharding.collectives(alone)
