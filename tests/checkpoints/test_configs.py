"""`config.json` of every family: what old spellings mean, and what is refused."""

import json
import pathlib

import pytest

from mcq_jax.checkpoints import huggingface
from mcq_jax.model import Activation, ModelConfig, Norm, QueryKeyNorm

SHAPE = {
    "hidden_size": 48,
    "intermediate_size": 20,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "vocab_size": 11,
}
GPT2 = {"n_embd": 24, "n_head": 4, "n_layer": 3, "vocab_size": 11, "n_ctx": 1024}


def read(folder: pathlib.Path, kind: str, **more) -> ModelConfig:
    path = folder / "config.json"
    shape = GPT2 if kind == "gpt2" else SHAPE
    path.write_text(json.dumps({"model_type": kind, **shape, **more}))
    return huggingface.read_config(path)[1]


def test_mistral_without_a_word_on_windows_has_one(tmp_path):
    config = read(tmp_path, "mistral", num_key_value_heads=2)
    assert (config.window, config.windowed_layers) == (4096, tuple(range(6)))
    assert (config.kv_heads, config.group, config.tied) == (2, 2, False)
    config = read(tmp_path, "mistral", sliding_window=None)
    assert (config.window, config.windowed_layers) == (None, ())


def test_gpt2_as_first_published(tmp_path):
    config = read(
        tmp_path, "gpt2", n_positions=1024, summary_type="cls_index", resid_pdrop=0.1
    )
    assert config.tied and config.learned_positions and not config.gated
    assert (config.norm, config.norm_epsilon) == (Norm.LAYER, 1e-5)
    assert (config.neurons, config.activation) == (96, Activation.GELU_TANH)


def test_pythia_in_its_old_spelling(tmp_path):
    config = read(
        tmp_path, "gpt_neox", rotary_pct=0.5, rotary_emb_base=77, hidden_act="gelu"
    )
    assert (config.rotary_width, config.rope_base) == (6, 77.0)
    assert config.parallel and not config.tied
    assert config.activation is Activation.GELU


def test_gemma_2_without_a_word_on_caps_has_them(tmp_path):
    config = read(tmp_path, "gemma2", cache_implementation="hybrid")
    assert config.tied and config.post_norm and config.head_width == 256
    assert (config.score_cap, config.logit_cap) == (50.0, 30.0)
    assert (config.window, config.windowed_layers) == (4096, (0, 2, 4))
    assert config.score_scale == 1 / 16
    config = read(tmp_path, "gemma2", final_logit_softcapping=None)
    assert (config.score_cap, config.logit_cap) == (50.0, None)


def test_gemma_3_in_its_old_spelling(tmp_path):
    config = read(
        tmp_path,
        "gemma3_text",
        rope_theta=1e6,
        rope_local_base_freq=1e4,
        rope_scaling={"rope_type": "linear", "factor": 8.0},
        sliding_window_pattern=3,
        sliding_window=512,
    )
    assert config.query_key_norm is QueryKeyNorm.HEAD
    assert (config.rope_base, config.rope_factor) == (1e6, 8.0)
    assert config.windowed_rope_base == 1e4
    assert config.windowed_layers == (0, 1, 3, 4)


def test_smollm3_rotates_in_all_but_every_fourth_layer(tmp_path):
    config = read(tmp_path, "smollm3")
    assert (config.unrotated_layers, config.rope_base) == ((3,), 2e6)
    assert config.tied and config.window is None


LONGROPE = {"type": "longrope", "short_factor": [1.0], "long_factor": [2.0]}


@pytest.mark.parametrize(
    ("kind", "more", "said"),
    [
        ("phi3", {"rope_scaling": LONGROPE}, "'longrope'"),
        ("phi3", {"lm_head_bias": True}, "lm_head_bias is True"),
        ("gpt2", {"add_cross_attention": True}, "add_cross_attention"),
        ("gpt2", {"n_positions": 512}, "n_ctx is 1024"),
        ("gemma", {"use_bidirectional_attention": True}, "use_bidirectional"),
        ("gemma3_text", {"sliding_window": None}, "no sliding_window is in use"),
        ("smollm3", {"layer_types": ["full_attention"]}, "each of 6 layers"),
        ("olmo2", {"clip_qkv": 8.0}, "clip_qkv"),
        ("qwen3", {"num_experts": 8}, "num_experts"),
        ("mistral", {"hidden_act": "quick_gelu"}, "'quick_gelu'"),
        ("gpt_neox", {"architectures": ["GPTNeoXModel"]}, "architectures"),
    ],
)
def test_what_a_family_does_not_know_is_refused_by_name(tmp_path, kind, more, said):
    with pytest.raises(ValueError, match=said):
        read(tmp_path, kind, **more)
