"""What cannot be loaded faithfully is refused by name, before weights are read."""

import json
import pathlib
import struct
import sys

import gguf
import ml_dtypes
import numpy as np
import pytest

from mcq_jax import checkpoints
from tests.checkpoints import files


@pytest.fixture
def folder(tmp_path) -> pathlib.Path:
    weights = files.random_weights("qwen2")
    return files.write_folder(tmp_path / "model", weights, files.config("qwen2"))


@pytest.fixture
def sharded(tmp_path) -> pathlib.Path:
    weights = files.random_weights("qwen2")
    config = files.config("qwen2")
    return files.write_folder(tmp_path / "model", weights, config, shards=2)


@pytest.fixture(scope="module")
def gguf_bytes(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("gguf") / "m.gguf"
    return files.write_gguf(path, files.random_weights("llama"), "llama").read_bytes()


def edit_config(folder: pathlib.Path, **changes) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_index(folder: pathlib.Path, **changes) -> None:
    path = folder / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    index["weight_map"] |= changes
    path.write_text(json.dumps(index))


ROPE_YARN = {"rope_type": "yarn", "factor": 4.0}
ROPE_ODD = {"rope_type": "linear", "factor": 4.0, "beta": 2}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"attn_logit_softcapping": 50.0}, "attn_logit_softcapping"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
        ({"model_type": "gemma3"}, "'gemma3'.*llama, mistral, qwen2"),
        ({"architectures": ["Qwen2ForSequenceClassification"]}, "architectures"),
        ({"hidden_size": None}, "hidden_size"),
        ({"hidden_size": "32"}, "hidden_size is '32'"),
        ({"num_hidden_layers": True}, "num_hidden_layers is True"),
        ({"hidden_act": "mish"}, "hidden_act is 'mish'"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "layer_types"),
        ({"layer_types": ["full_attention", "chunked_attention"]}, "layer_types"),
        ({"num_key_value_heads": 4}, "6 attention heads and 4"),
        ({"rope_scaling": ROPE_YARN}, "'yarn'"),
        ({"rope_scaling": ROPE_ODD}, "beta"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "low_freq_factor"),
        ({"rope_parameters": {"rope_theta": 5.0}}, "rope_theta 1000.0 and 5.0"),
        ({"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor"),
        ({"num_hidden_layers": 3}, r"missing: model\.layers\.2\."),
        ({"num_hidden_layers": 1}, r"unknown: model\.layers\.1\."),
        (
            {"intermediate_size": 65},
            r"down_proj.weight has shape \(32, 64\).*\(32, 65\)",
        ),
    ],
)
def test_a_config_that_is_not_understood_is_refused(folder, changes, said):
    edit_config(folder, **changes)
    with pytest.raises(ValueError, match=said):
        checkpoints.load(folder)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("config.json", "no config.json"),
        ("tokenizer.json", "No tokenizer at"),
        ("model.safetensors", r"no \*.safetensors"),
    ],
)
def test_a_folder_with_a_file_missing_is_refused(folder, name, said):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=said):
        checkpoints.load(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_unreadable_json_is_refused(folder, name):
    (folder / name).write_text('{"model_type": ')
    with pytest.raises(ValueError, match=f"{name} is no readable"):
        checkpoints.load(folder)


@pytest.mark.parametrize("kept", [0, 5, 100, -1])
def test_truncated_safetensors_are_refused(folder, kept):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match="no complete safetensors file"):
        checkpoints.load(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("drop", r"1 tensors.*missing: model\.norm\.weight"),
        ("add", r"1 tensors.*unknown: model\.layers\.0\.self_attn\.q_norm"),
        ("type", "model.norm.weight.*I32"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(tmp_path, change, said):
    weights = files.random_weights("qwen2")
    if change == "drop":
        del weights["model.norm.weight"]
    if change == "add":
        name = "model.layers.0.self_attn.q_norm.weight"
        weights[name] = np.ones(files.HEAD_WIDTH, np.float32)
    if change == "type":
        weights["model.norm.weight"] = weights["model.norm.weight"].astype(np.int32)
    folder = files.write_folder(tmp_path / "model", weights, files.config("qwen2"))
    with pytest.raises(ValueError, match=said):
        checkpoints.load(folder)


@pytest.mark.parametrize(
    "target", ["../other.safetensors", "/etc/passwd", "a\\b.safetensors", "x.bin", 3]
)
def test_an_index_that_leads_out_of_the_folder_is_refused(sharded, target):
    (sharded.parent / "other.safetensors").write_bytes(b"secret")
    edit_index(sharded, **{"model.norm.weight": target})
    with pytest.raises(ValueError, match=r"model\.norm\.weight.*do not trust"):
        checkpoints.load(sharded)


def test_an_index_with_a_missing_file_is_refused(sharded):
    (sharded / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="model-00002-of-00002"):
        checkpoints.load(sharded)


def test_an_index_that_contradicts_its_files_is_refused(sharded):
    edit_index(sharded, **{"lm_head.weight": "model-00002-of-00002.safetensors"})
    with pytest.raises(ValueError, match=r"disagree about lm_head\.weight"):
        checkpoints.load(sharded)


def test_a_path_that_is_no_checkpoint_is_refused(tmp_path, folder):
    with pytest.raises(FileNotFoundError, match="No checkpoint at"):
        checkpoints.load(tmp_path / "org" / "name")
    with pytest.raises(ValueError, match="give the folder"):
        checkpoints.load(folder / "model.safetensors")
    (tmp_path / "note.txt").write_text("not a model, only some words")
    with pytest.raises(ValueError, match="not with b'GGUF'"):
        checkpoints.load(tmp_path / "note.txt")


def test_unknown_types_and_segments_are_refused(folder):
    with pytest.raises(ValueError, match="dtype is 'int8'"):
        checkpoints.load(folder, dtype="int8")
    with pytest.raises(ValueError, match=r"segments of \(3,\) layers for 2 layers"):
        checkpoints.load(folder, sizes=(3,))


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.05, 0.3, 0.9, 0.999])
def test_a_truncated_gguf_file_is_refused(tmp_path, gguf_bytes, share):
    path = tmp_path / "cut.gguf"
    path.write_bytes(gguf_bytes[: int(share * len(gguf_bytes))])
    with pytest.raises(ValueError, match="cut.gguf.*fetch it again"):
        checkpoints.load(path)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (8, 2**63),  # number of tensors
        (16, 2**63),  # number of keys
        (24, 2**62),  # length of the first key
    ],
)
def test_hostile_lengths_in_a_gguf_header_are_refused(
    tmp_path, gguf_bytes, place, value
):
    content = bytearray(gguf_bytes)
    struct.pack_into("<Q", content, place, value)
    path = tmp_path / "hostile.gguf"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="hostile.gguf"):
        checkpoints.load(path)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("blk.0.attn_q_norm.weight", r"unknown: blk\.0\.attn_q_norm\.weight"),
        ("rope_freqs.weight", "rope_freqs.weight.*not those of Llama 3"),
    ],
)
def test_an_unknown_gguf_tensor_is_refused(tmp_path, name, said):
    extra = {name: np.linspace(1, 9, 8, dtype=np.float32)}
    weights = files.random_weights("llama")
    path = files.write_gguf(tmp_path / "m.gguf", weights, "llama", extra=extra)
    with pytest.raises(ValueError, match=said):
        checkpoints.load(path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"general.architecture": "mamba"}, "'mamba'.*llama, qwen2"),
        ({"llama.expert_count": 8}, "expert_count is 8"),
        ({"llama.rope.scaling.type": "yarn"}, "'yarn'"),
        ({"llama.attention.clamp_kqv": 8}, "attention.clamp_kqv"),
        ({"split.count": 2}, "one of 2 parts"),
        ({"tokenizer.ggml.model": "t5"}, "tokenizer of type 't5'"),
        ({"tokenizer.ggml.pre": "default"}, "'default'.*qwen2"),
        ({"tokenizer.ggml.add_bos_token": True}, "bos_token_id"),
        ({"tokenizer.ggml.eos_token_id": 10_000}, "eos_token_id is 10000"),
        ({"tokenizer.ggml.token_type": [1]}, "token types"),
        ({"tokenizer.ggml.merges": ["A BCDEFG"]}, "merge 'A BCDEFG'"),
    ],
)
def test_gguf_metadata_that_is_not_understood_is_refused(tmp_path, changes, said):
    if "tokenizer.ggml.add_bos_token" in changes:
        changes = changes | {"tokenizer.ggml.bos_token_id": None}
    changes = dict(changes)
    family = changes.pop("general.architecture", "llama")
    path = tmp_path / "m.gguf"
    weights = files.random_weights("llama")
    files.write_gguf(path, weights, family, tokenizer=changes)
    with pytest.raises(ValueError, match=said):
        checkpoints.load(path)


def test_an_undequantisable_gguf_tensor_is_refused(tmp_path, monkeypatch):
    path = files.write_gguf(
        tmp_path / "m.gguf",
        files.random_weights("llama"),
        "llama",
        quantisation=gguf.GGMLQuantizationType.Q8_0,
    )
    monkeypatch.delitem(
        gguf.quants._type_traits,  # pyright: ignore[reportAttributeAccessIssue]
        gguf.GGMLQuantizationType.Q8_0,
    )
    with pytest.raises(ValueError, match="token_embd.weight is stored as.*Q8_0"):
        checkpoints.load(path)


def test_a_missing_gguf_package_is_named(tmp_path, gguf_bytes, monkeypatch):
    path = tmp_path / "m.gguf"
    path.write_bytes(gguf_bytes)
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(ImportError, match=r"mcq-jax\[gguf\]"):
        checkpoints.load(path)


@pytest.mark.parametrize("stored", [np.float32, np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["model.layers.1.mlp.down_proj", "model.norm"])
def test_weights_that_are_no_numbers_are_refused_by_name(tmp_path, stored, bad, name):
    weights = files.random_weights("llama")
    weights = {n: array.astype(stored) for n, array in weights.items()}
    weights[f"{name}.weight"].flat[5] = bad
    folder = files.write_folder(tmp_path / "f", weights, files.config("llama"))
    said = rf"{folder}: Tensor {name}.weight holds NaN or infinities"
    with pytest.raises(checkpoints.CheckpointError, match=said):
        checkpoints.load(folder)


@pytest.mark.parametrize("kept", ["full", "int8"])
def test_nan_in_a_gguf_file_is_refused_by_name(tmp_path, kept):
    weights = files.random_weights("qwen2")
    weights["model.layers.0.self_attn.k_proj.weight"][3, 2] = np.nan
    path = files.write_gguf(tmp_path / "m.gguf", weights, "qwen2")
    with pytest.raises(ValueError, match=r"Tensor blk.0.attn_k.weight holds NaN"):
        checkpoints.load(path, weights=kept)


def test_weights_too_large_for_the_dtype_are_refused_with_one_that_holds_them(tmp_path):
    weights = files.random_weights("llama")
    weights["model.layers.0.mlp.up_proj.weight"][1, 2] = -7e4
    folder = files.write_folder(tmp_path / "f", weights, files.config("llama"))
    assert checkpoints.load(folder, dtype="bfloat16")
    with pytest.raises(
        ValueError, match=r"up_proj.weight holds .*7e\+04, and float16.*6.55e\+04"
    ):
        checkpoints.load(folder, dtype="float16")
