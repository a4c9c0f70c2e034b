"""A saved checkpoint comes back bit by bit, however it lay in memory."""

import dataclasses
import json
import pathlib

import jax
import numpy as np
import pytest

from mcq_jax import checkpoints, planted
from mcq_jax.json_values import from_json, to_json
from mcq_jax.model import ModelConfig
from tests.checkpoints import files
from tests.checkpoints.test_shardings import run

TEXTS = ("A) apple\n\nB)  x \n", "naïve 😀 e\u0301\r\n", "<|im_start|>user\n12 345", "")


def load_tiny(tmp_path: pathlib.Path, *, is_tied: bool = False, **options):
    weights = files.random_weights("llama", is_tied=is_tied)
    bos = {"tokenizer.ggml.add_bos_token": True}
    path = tmp_path / "m.gguf"
    files.write_gguf(path, weights, "llama", tokenizer=bos)
    return checkpoints.load(path, **options)


def check_bits(some, others) -> None:
    def same(a, b):
        assert a.dtype == b.dtype and a.shape == b.shape
        np.testing.assert_array_equal(
            np.asarray(a).view(np.uint8), np.asarray(b).view(np.uint8)
        )

    jax.tree.map(same, some, others)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("is_tied", [False, True])
def test_numbers_come_back_bit_by_bit(tmp_path, dtype, is_tied):
    loaded = load_tiny(tmp_path, is_tied=is_tied, dtype=dtype, sizes=(2,))
    checkpoints.save_checkpoint(tmp_path / "saved", loaded)
    again = checkpoints.load(tmp_path / "saved", dtype=dtype, sizes=(2,))
    check_bits(loaded.parameters, again.parameters)
    assert again.config == loaded.config and again.name == loaded.name
    assert again.config.tied == is_tied
    for text in TEXTS:
        assert again.tokenizer.encode(text) == loaded.tokenizer.encode(text)
    assert again.tokenizer.chat_template == loaded.tokenizer.chat_template
    assert again.tokenizer.special_tokens == loaded.tokenizer.special_tokens


def test_a_folder_that_says_in_its_older_way_that_it_is_tied_is_read(tmp_path):
    loaded = load_tiny(tmp_path, is_tied=True)
    checkpoints.save_checkpoint(tmp_path / "saved", loaded)
    path = tmp_path / "saved" / "mcq_jax.json"
    description = json.loads(path.read_text())
    assert description["config"].pop("tied")
    older = description | {"same": {"unembed/~/table": "embed/~/table"}}
    path.write_text(json.dumps(older))
    again = checkpoints.load(tmp_path / "saved")
    assert again.config == loaded.config
    check_bits(loaded.parameters, again.parameters)
    untied = dataclasses.replace(loaded.config, tied=False)
    with pytest.raises(ValueError, match="tied=False, which these parameters are not"):
        checkpoints.save_checkpoint(
            tmp_path / "another", dataclasses.replace(loaded, config=untied)
        )


def test_segments_may_be_cut_anew(tmp_path):
    loaded = load_tiny(tmp_path, sizes=(2,))
    checkpoints.save_checkpoint(tmp_path / "saved", loaded)
    again = checkpoints.load(tmp_path / "saved", sizes=(1, 1))
    check_bits(load_tiny(tmp_path, sizes=(1, 1)).parameters, again.parameters)


SCRIPT = """
import sys
import jax, numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from mcq_jax.checkpoints import load, save_checkpoint

mesh = jax.make_mesh((8,), ("model",), axis_types=(jax.sharding.AxisType.Auto,))

def split(shapes):
    def one(leaf):
        fits = [i for i in range(leaf.ndim) if leaf.shape[i] % 8 == 0]
        spec = ["model" if fits and i == fits[-1] else None for i in range(leaf.ndim)]
        return NamedSharding(mesh, PartitionSpec(*spec))
    return jax.tree.map(one, shapes)

source, folder = sys.argv[1:]
loaded = load(source, dtype="bfloat16", sizes=(2,), shardings=split)
save_checkpoint(folder, loaded)
again = load(folder, dtype="bfloat16", sizes=(2,), shardings=split)
def same(a, b):
    assert a.sharding == b.sharding and not a.is_fully_replicated
    np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
jax.tree.map(same, loaded.parameters, again.parameters)
print("equal")
"""


def test_split_parameters_come_back_split(tmp_path):
    path = tmp_path / "m.gguf"
    files.write_gguf(path, files.random_weights("llama", is_tied=True), "llama")
    assert run("-c", SCRIPT, str(path), str(tmp_path / "saved")) == "equal\n"


def test_what_is_there_is_not_overwritten(tmp_path):
    loaded = load_tiny(tmp_path)
    (tmp_path / "saved").mkdir()
    with pytest.raises(FileExistsError, match="already there"):
        checkpoints.save_checkpoint(tmp_path / "saved", loaded)


def test_a_tokenizer_without_a_file_is_refused(tmp_path):
    model = planted.plant(0)
    made = checkpoints.Checkpoint(
        parameters=model.parameters,
        config=model.config,
        tokenizer=model.tokenizer,
        name="planted",
        content_hash="",
    )
    with pytest.raises(ValueError, match="WordTokenizer"):
        checkpoints.save_checkpoint(tmp_path / "saved", made)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d["config"].update(layers=1), "4|9.*tensors do not fit"),
        (lambda d: d["config"].update(neurons=63), "do not fit.*feedforward"),
        (lambda d: d["config"].update(width=10**12), "config has width"),
        (lambda d: d["config"].update(norm="BATCH"), "'BATCH' is none of RMS"),
        (lambda d: d["config"].update(heads=1), "heads of the saved ModelConfig"),
        (lambda d: d["config"].pop("width"), "not complete"),
        (lambda d: d["config"].update(width="x"), "'x' is no int"),
        (lambda d: d.update(same={"embed/~/table": "x"}), "are the same arrays"),
        (lambda d: d.update(same=["embed/~/table"]), "are the same arrays"),
        (lambda d: d["config"].update(tied=True), "do not fit.*unembed/~/table"),
        (lambda d: d.pop("name"), "missing"),
        (lambda d: d.update(stored_bits="4"), "stored_bits is '4', no number"),
        (lambda d: d.pop("layout"), "save the model again"),
        (lambda d: d.update(layout=1), "save the model again"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(tmp_path, change, said):
    checkpoints.save_checkpoint(tmp_path / "saved", load_tiny(tmp_path))
    path = tmp_path / "saved" / "mcq_jax.json"
    description = json.loads(path.read_text())
    change(description)
    path.write_text(json.dumps(description))
    with pytest.raises(checkpoints.CheckpointError, match=said):
        checkpoints.load(tmp_path / "saved")


def test_every_field_of_a_config_survives_json():
    config = ModelConfig(
        layers=1, width=2, kv_heads=1, group=1, head_width=2, neurons=3, vocabulary=4,
        context=5, rotary_width=2,
    )  # fmt: skip
    for changes in ({}, {"score_scale": 0.5, "gated": False, "norm_epsilon": 1e-7}):
        changed = dataclasses.replace(config, **changes)
        text = json.dumps(to_json(changed))
        assert from_json(ModelConfig, json.loads(text)) == changed


@pytest.mark.parametrize("is_tied", [False, True])
def test_a_shape_is_read_without_weights_wherever_the_model_lies(tmp_path, is_tied):
    loaded = load_tiny(tmp_path, is_tied=is_tied)
    checkpoints.save_checkpoint(tmp_path / "saved", loaded)
    files.write_folder(
        tmp_path / "folder",
        files.random_weights("llama", is_tied=is_tied),
        files.config("llama", is_tied=is_tied),
    )
    for name in ("m.gguf", "saved", "folder"):
        at = tmp_path / name
        assert checkpoints.read_shape(at) == checkpoints.load(at).config
