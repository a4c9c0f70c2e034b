"""A GGUF file of a family holds the same model as its Hugging Face folder.

The file is written with the `gguf` package's own table of names, from the weights of
the reference, turned as the converter for llama.cpp turns them.
"""

import dataclasses

import gguf
import jax
import numpy as np
import pytest

from mcq_jax.checkpoints import conversion, gguf_file
from mcq_jax.checkpoints import gguf as gguf_models
from mcq_jax.model import Parameters
from tests.checkpoints import references
from tests.checkpoints.references import Pair

pytestmark = pytest.mark.parity

ARCHITECTURES = {
    "qwen3, grouped": gguf.MODEL_ARCH.QWEN3,
    "phi3, grouped, window": gguf.MODEL_ARCH.PHI3,
    "gpt2": gguf.MODEL_ARCH.GPT2,
    "gemma2, low caps": gguf.MODEL_ARCH.GEMMA2,
    "gemma3, one key head, pattern by default": gguf.MODEL_ARCH.GEMMA3,
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_gguf_file_is_the_model_of_its_folder(tmp_path, name):
    pair = references.build(name, tmp_path)
    path = tmp_path / "model.gguf"
    _write(path, pair, ARCHITECTURES[name])
    file = gguf_file.read_gguf(path)
    described = gguf_models.describe(file)
    # GGUF holds epsilon in float32, and no scale of Gemma's scores.
    expected = dataclasses.replace(
        pair.ours.config,
        norm_epsilon=float(np.float32(pair.ours.config.norm_epsilon)),
        score_scale=None,
    )
    assert described.config == expected
    sizes = (1,) * references.LAYERS
    found = conversion.build_parameters(
        file.tensors, described, dtype=np.dtype(np.float32), sizes=sizes
    )
    _assert_equal(found, pair.ours.parameters)


def _assert_equal(found: Parameters, expected: Parameters) -> None:
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(
        jax.tree.leaves(found), jax.tree.leaves(expected), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def _write(path, pair: Pair, architecture: gguf.MODEL_ARCH) -> None:
    names = gguf.get_tensor_name_map(architecture, references.LAYERS)
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[architecture])
    _add_metadata(writer, pair, architecture)
    is_gemma = architecture in (gguf.MODEL_ARCH.GEMMA2, gguf.MODEL_ARCH.GEMMA3)
    for name, tensor in pair.reference.state_dict().items():
        if name == "lm_head.weight" and pair.reference.config.tie_word_embeddings:
            continue
        array = tensor.numpy()
        if is_gemma and name.endswith("norm.weight"):
            array = array + np.float32(1)
        if ".c_" in name and name.endswith("weight"):
            array = np.ascontiguousarray(array.T)
        stored = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert stored is not None, name
        writer.add_tensor(stored, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_metadata(writer, pair: Pair, architecture: gguf.MODEL_ARCH) -> None:
    config = pair.ours.config
    writer.add_block_count(config.layers)
    writer.add_context_length(config.context)
    writer.add_embedding_length(config.width)
    writer.add_feed_forward_length(config.neurons)
    writer.add_head_count(config.heads)
    if architecture is gguf.MODEL_ARCH.GPT2:
        writer.add_layer_norm_eps(config.norm_epsilon)
        return
    writer.add_head_count_kv(config.kv_heads)
    writer.add_layer_norm_rms_eps(config.norm_epsilon)
    writer.add_rope_freq_base(config.rope_base)
    if architecture is gguf.MODEL_ARCH.PHI3:
        writer.add_rope_dimension_count(config.rotary_width)
    else:
        writer.add_key_length(config.head_width)
        writer.add_value_length(config.head_width)
    if config.window is not None:
        writer.add_sliding_window(config.window)
    if config.score_cap is not None:
        writer.add_attn_logit_softcapping(config.score_cap)
        writer.add_final_logit_softcapping(config.logit_cap)
