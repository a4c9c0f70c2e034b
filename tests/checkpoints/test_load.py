"""Tiny checkpoints come back as the arrays that were written, each where it belongs."""

import gguf
import jax
import ml_dtypes
import numpy as np
import pytest

from mcq_jax import checkpoints, model
from mcq_jax.model.positions import rotary_frequencies
from tests.checkpoints import files

TEXTS = ("A) apple\n\nB)  x \n", "naïve 😀 e\u0301\r\n", "<|im_start|>user\n12 345", "")


def check_weights(parameters: model.Parameters, weights: dict) -> None:
    """Compares with the stored tensors, taken apart head by head."""
    np.testing.assert_array_equal(
        parameters.embed["~"]["table"], weights["model.embed_tokens.weight"]
    )
    np.testing.assert_array_equal(
        parameters.unembed["~"]["norm_gain"], weights["model.norm.weight"]
    )
    for layer, group in enumerate(parameters.layers):
        start = f"model.layers.{layer}."
        stored = {
            name.removeprefix(start): array
            for name, array in weights.items()
            if name.startswith(start)
        }
        check_attention(jax.tree.map(lambda x: x[0], group["attention"]), stored)
        block = jax.tree.map(lambda x: x[0], group["feedforward"])
        for name in ("gate", "up", "down"):
            theirs = stored[f"mlp.{name}_proj.weight"]
            theirs = theirs.T if name == "down" else theirs
            np.testing.assert_array_equal(block[name], theirs)
        np.testing.assert_array_equal(
            block["norm_gain"], stored["post_attention_layernorm.weight"]
        )


def check_attention(attention: dict, stored: dict) -> None:
    def head(array, index):
        return array[index * files.HEAD_WIDTH : (index + 1) * files.HEAD_WIDTH]

    equal = np.testing.assert_array_equal
    equal(attention["norm_gain"], stored["input_layernorm.weight"])
    for kv in range(files.KV_HEADS):
        for ours, theirs in (("key", "k_proj"), ("value", "v_proj")):
            weight = stored[f"self_attn.{theirs}.weight"]
            equal(attention[ours][kv], head(weight, kv))
            if f"{ours}_bias" in attention:
                bias = stored[f"self_attn.{theirs}.bias"]
                equal(attention[f"{ours}_bias"][kv], head(bias, kv))
        for member in range(files.GROUP):
            index = kv * files.GROUP + member
            weight = stored["self_attn.q_proj.weight"]
            equal(attention["query"][kv, member], head(weight, index))
            weight = stored["self_attn.o_proj.weight"]
            equal(attention["output"][kv, member], head(weight.T, index))
            if "query_bias" in attention:
                bias = stored["self_attn.q_proj.bias"]
                equal(attention["query_bias"][kv, member], head(bias, index))


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_a_folder_gives_the_stored_weights(tmp_path, family, shards):
    weights = files.random_weights(family)
    folder = tmp_path / "tiny-model"
    files.write_folder(folder, weights, files.config(family), shards=shards)
    loaded = checkpoints.load(folder)
    check_weights(loaded.parameters, weights)
    np.testing.assert_array_equal(
        loaded.parameters.unembed["~"]["table"], weights["lm_head.weight"]
    )
    assert loaded.name == "tiny-model"
    assert loaded.config.heads == files.HEADS
    assert loaded.config.qkv_bias == (family == "qwen2")
    assert (loaded.config.rope_base, loaded.config.context) == (1000.0, 48)


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_a_gguf_file_gives_the_stored_weights(tmp_path, family):
    weights = files.random_weights(family)
    path = files.write_gguf(tmp_path / "tiny.gguf", weights, family)
    loaded = checkpoints.load(path)
    check_weights(loaded.parameters, weights)
    assert loaded.name == "tiny"
    folder = files.write_folder(tmp_path / "folder", weights, files.config(family))
    as_folder = checkpoints.load(folder).config
    # GGUF keeps the norm's epsilon in float32.
    assert loaded.config.norm_epsilon == np.float32(as_folder.norm_epsilon)
    assert {**vars(loaded.config), "norm_epsilon": 0.0} == {
        **vars(as_folder),
        "norm_epsilon": 0.0,
    }


def test_quantised_matrices_are_dequantised_as_the_reference_does(tmp_path):
    kind = gguf.GGMLQuantizationType.Q8_0
    weights = files.random_weights("qwen2")
    path = files.write_gguf(tmp_path / "q.gguf", weights, "qwen2", quantisation=kind)
    rounded = {
        name: gguf.quants.dequantize(gguf.quants.quantize(array, kind), kind)
        if array.ndim == 2
        else array
        for name, array in weights.items()
    }
    name = "model.embed_tokens.weight"
    assert not np.array_equal(rounded[name], weights[name])
    check_weights(checkpoints.load(path).parameters, rounded)


def test_bits_are_those_of_the_file_and_outlast_a_conversion(tmp_path):
    """Q8_0 has blocks of 32 numbers of 8 bits and a scale of 16."""
    weights = files.random_weights("qwen2")
    plain = files.write_folder(tmp_path / "plain", weights, files.config("qwen2"))
    assert checkpoints.load(plain).stored_bits == 32
    kind = gguf.GGMLQuantizationType.Q8_0
    path = files.write_gguf(tmp_path / "q.gguf", weights, "qwen2", quantisation=kind)
    rounded = checkpoints.load(path, dtype="float32")
    assert rounded.stored_bits == 8.5
    checkpoints.save_checkpoint(tmp_path / "saved", rounded)
    assert checkpoints.load(tmp_path / "saved").stored_bits == 8.5


def test_a_tied_table_is_one_array(tmp_path):
    weights = files.random_weights("llama", is_tied=True)
    config = files.config("llama", is_tied=True)
    folder = files.write_folder(tmp_path / "folder", weights, config)
    path = files.write_gguf(tmp_path / "tied.gguf", weights, "llama")
    # Some publishers store the table twice.
    twice = weights | {"lm_head.weight": weights["model.embed_tokens.weight"]}
    repeated = files.write_folder(tmp_path / "repeated", twice, config)
    for source in (folder, path, repeated):
        for kept in ("full", "int8"):
            loaded = checkpoints.load(source, weights=kept)
            assert loaded.config.tied and loaded.parameters.unembed["~"].keys() == {
                "norm_gain"
            }


def test_what_is_stored_decides_whether_tables_are_tied(tmp_path):
    weights = files.random_weights("llama")
    config = files.config("llama", is_tied=True)
    folder = files.write_folder(tmp_path / "folder", weights, config)
    path = files.write_gguf(tmp_path / "m.gguf", weights, "llama")
    for source in (folder, path):
        loaded = checkpoints.load(source)
        assert not loaded.config.tied
        np.testing.assert_array_equal(
            loaded.parameters.unembed["~"]["table"], weights["lm_head.weight"]
        )


@pytest.mark.parametrize("stored", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_numbers_are_rounded_once_to_the_type_asked_for(tmp_path, stored, dtype):
    weights = files.random_weights("llama")
    narrow = {name: array.astype(stored) for name, array in weights.items()}
    folder = files.write_folder(tmp_path / "f", narrow, files.config("llama"))
    parameters = checkpoints.load(folder, dtype=dtype).parameters
    down = parameters.layers[1]["feedforward"]["down"]
    expected = narrow["model.layers.1.mlp.down_proj.weight"].T.astype(down.dtype)
    assert down.dtype == dtype
    np.testing.assert_array_equal(np.asarray(down[0]), expected)


def test_layers_come_in_the_segments_asked_for(tmp_path):
    weights = files.random_weights("llama")
    path = files.write_gguf(tmp_path / "m.gguf", weights, "llama")
    single = checkpoints.load(path, sizes=(1, 1)).parameters
    stacked = checkpoints.load(path, sizes=(2,)).parameters
    assert len(stacked.layers) == 1
    for layer in range(files.LAYERS):
        picked = jax.tree.map(lambda x, i=layer: x[i : i + 1], stacked.layers[0])
        jax.tree.map(np.testing.assert_array_equal, picked, single.layers[layer])


def test_loaded_shapes_are_the_models_own(tmp_path):
    path = files.write_gguf(tmp_path / "m.gguf", files.random_weights("qwen2"), "qwen2")
    loaded = checkpoints.load(path)
    shapes = model.parameter_shapes(loaded.config)
    for layer in loaded.parameters.layers:
        found = jax.tree.map(lambda x: x.shape[1:], layer)
        assert found == jax.tree.map(lambda x: x.shape, shapes.layers[0])
    for part in ("embed", "unembed"):
        found = jax.tree.map(lambda x: x.shape, getattr(loaded.parameters, part))
        assert found == jax.tree.map(lambda x: x.shape, getattr(shapes, part))


def test_both_containers_hold_the_same_tokenizer(tmp_path):
    weights = files.random_weights("llama")
    folder = files.write_folder(tmp_path / "f", weights, files.config("llama"))
    path = files.write_gguf(tmp_path / "m.gguf", weights, "llama")
    one, other = (checkpoints.load(p).tokenizer for p in (folder, path))
    for text in TEXTS:
        assert one.encode(text) == other.encode(text)
        assert other.decode(other.encode(text).ids) == text
    assert other.vocabulary_size == files.VOCABULARY
    assert "im_start" in (other.chat_template or "")
    assert other.special_tokens == {"bos_token": "<s>", "eos_token": "<|im_end|>"}


def test_bos_comes_first_where_the_file_asks_for_it(tmp_path):
    weights = files.random_weights("llama")
    path = tmp_path / "m.gguf"
    wish = {"tokenizer.ggml.add_bos_token": True}
    files.write_gguf(path, weights, "llama", tokenizer=wish)
    tokenizer = checkpoints.load(path).tokenizer
    encoding = tokenizer.encode("apple")
    assert tokenizer.decode(encoding.ids[:1]) == "<s>"
    assert encoding.offsets[0] == (0, 0)
    assert encoding.ids[1:] == tokenizer.encode("apple", special=False).ids


def test_the_content_hash_tells_weights_and_configs_apart(tmp_path):
    weights = files.random_weights("llama")
    config = files.config("llama")
    one = files.write_folder(tmp_path / "one", weights, config)
    same = files.write_folder(tmp_path / "same", weights, config)
    weights["model.layers.1.mlp.up_proj.weight"][3, 5] += 1e-3
    other = files.write_folder(tmp_path / "other", weights, config)
    theta = files.write_folder(tmp_path / "t", weights, config | {"rope_theta": 7})
    hashes = [checkpoints.load(p).content_hash for p in (one, same, other, theta)]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3


def test_llama_3_scaling_is_recognised_by_its_factors(tmp_path):
    weights = files.random_weights("llama")
    scaling = {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    rope = {"rope_theta": 5e5, "rope_scaling": scaling}
    folder = tmp_path / "folder"
    files.write_folder(folder, weights, files.config("llama") | rope)
    wanted = checkpoints.load(folder).config
    frequencies = rotary_frequencies(wanted)
    plain = 5e5 ** -(np.arange(0, files.HEAD_WIDTH, 2) / files.HEAD_WIDTH)
    factors = (plain / frequencies).astype(np.float32)
    assert factors.min() == pytest.approx(1) and factors.max() == pytest.approx(8)
    path = tmp_path / "m.gguf"
    extra = {"rope_freqs.weight": factors}
    files.write_gguf(path, weights, "llama", extra=extra, rope_base=5e5)
    found = rotary_frequencies(checkpoints.load(path).config)
    np.testing.assert_allclose(found, frequencies, rtol=1e-5)
