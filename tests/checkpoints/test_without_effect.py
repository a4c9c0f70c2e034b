"""What changes no numbers is let through by rules; what may is refused by name."""

import dataclasses
import pathlib
import re

import pytest

from mcq_jax.checkpoints import huggingface, without_effect
from mcq_jax.checkpoints.conversion import StoredTensor
from tests.checkpoints.test_configs import read

# What transformers calls the families.
FAMILIES = {
    "Llama": "llama", "Mistral": "mistral", "Qwen2": "qwen2", "Qwen3": "qwen3",
    "SmolLM3": "smollm3", "Gemma": "gemma", "Gemma2": "gemma2",
    "Gemma3Text": "gemma3_text", "Olmo2": "olmo2", "Phi3": "phi3", "GPT2": "gpt2",
    "GPTNeoX": "gpt_neox",
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("gpt2", {"n_special": 0, "predict_special_tokens": True, "output_past": True}),
        ("gpt2", {"_num_labels": 1, "id2label": {"0": "LABEL_0"}, "label2id": {}}),
        ("gpt2", {"hidden_size": 24, "task_specific_params": {"a": {"top_k": 3}}}),
        ("gemma2", {"sliding_window_size": 4096, "hidden_act": "relu"}),
        ("gpt_neox", {"attention_probs_dropout_prob": 0, "hidden_dropout_prob": 0}),
        ("llama", {"unsloth_fixed": True, "unsloth_version": "2024.9"}),
        ("llama", {"use_sliding_window": False, "sliding_window": 64}),
        ("llama", {"layer_types": ["full_attention"] * 6, "mystery": None}),
        ("llama", {"partial_rotary_factor": 1.0, "tf_legacy_loss": False}),
        ("mistral", {"layer_types": ["sliding_attention"] * 6, "mlp_bias": False}),
        ("smollm3", {"max_window_layers": 28, "use_sliding_window": False}),
        ("llama", {"is_decoder": False, "pruned_heads": {}, "max_length": 20}),
        ("olmo2", {"transformers.js_config": {"dtype": "q4"}, "max_seq_len": 9}),
    ],
)  # fmt: skip
def test_what_changes_no_numbers_changes_no_config(tmp_path, kind, more):
    whole = {"rotary_pct": 0.5} if kind == "gpt_neox" else {}
    assert read(tmp_path, kind, **more, **whole) == read(tmp_path, kind, **whole)


@pytest.mark.parametrize(
    ("kind", "more", "said"),
    [
        ("llama", {"mystery": 0}, "mystery"),
        ("llama", {"quantization_config": {"bits": 4}}, "quantization_config"),
        ("llama", {"logit_scale": 0.1}, "logit_scale"),
        ("llama", {"residual_multiplier": 0.2}, "residual_multiplier"),
        ("llama", {"output_multiplier": 2.0}, "output_multiplier"),
        ("llama", {"sliding_window": 64}, "sliding_window"),
        ("llama", {"use_sliding_window": True}, "use_sliding_window is True"),
        ("llama", {"layer_types": ["sliding_attention"] * 6}, "layer_types"),
        ("llama", {"partial_rotary_factor": 0.5}, "partial_rotary_factor is 0.5"),
        ("llama", {"is_encoder_decoder": True}, "is_encoder_decoder"),
        ("llama", {"pruned_heads": {"0": [1]}}, "pruned_heads"),
        ("llama", {"num_local_experts": 8}, "num_local_experts"),
        ("llama", {"auto_map": {"AutoModel": "m.M"}}, "auto_map"),
        ("mistral", {"attention_bias": True}, "attention_bias is True"),
        ("gpt2", {"hidden_size": 25}, "n_embd is 24 and hidden_size 25"),
        ("gpt_neox", {"rope_theta": 5, "rotary_emb_base": 6}, "rotary_emb_base is 6"),
        ("gpt_neox", {"rope_theta": 5}, "rotary_emb_base is 10000 and rope_theta 5"),
        ("gpt_neox", {"head_dim": 10, "rotary_pct": 0.5}, "head_dim is 10"),
    ],
)
def test_what_may_change_numbers_is_refused_by_name(tmp_path, kind, more, said):
    with pytest.raises(ValueError, match=said):
        read(tmp_path, kind, **more)


def test_attributes_that_the_reference_does_not_read_are_not_used(tmp_path):
    plain = read(tmp_path, "gemma3_text")
    capped = read(tmp_path, "gemma3_text", attn_logit_softcapping=5.0)
    assert plain.score_cap is None and capped == plain
    assert read(tmp_path, "gemma3_text", _sliding_window_pattern=2) == plain
    assert plain.context == 131_072
    both = read(tmp_path, "gpt_neox", rope_theta=10_000, rotary_pct=0.5,
                rotary_emb_base=10_000.0, partial_rotary_factor=0.5)  # fmt: skip
    assert both == read(tmp_path, "gpt_neox", rotary_pct=0.5)


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("gelu_fast", "gelu_new"), ("gelu_accurate", "gelu_new"), ("swish", "silu"),
        ("gelu_python_tanh", "gelu_pytorch_tanh"), ("gelu_python", "gelu"),
    ],
)  # fmt: skip
def test_activations_have_several_names(tmp_path, name, same):
    found = read(tmp_path, "gpt2", activation_function=name)
    assert found == read(tmp_path, "gpt2", activation_function=same)


def test_dynamic_ropes_are_plain_ones_up_to_the_context(tmp_path):
    rope = {"type": "dynamic", "factor": 4.0}
    assert read(tmp_path, "llama", rope_scaling=rope) == read(tmp_path, "llama")


def test_a_headless_model_needs_a_tied_table(tmp_path):
    headless = {"architectures": ["Qwen2Model"]}
    assert read(tmp_path, "qwen2", tie_word_embeddings=True, **headless).tied
    with pytest.raises(ValueError, match="architectures"):
        read(tmp_path, "qwen2", **headless)


@pytest.mark.parametrize("kind", ["llama", "gemma", "olmo2", "phi3", "gpt_neox"])
def test_names_may_lack_the_models_own(tmp_path, kind):
    more = {"rotary_pct": 0.5} if kind == "gpt_neox" else {}
    config = read(tmp_path, kind, **more)
    family, _ = huggingface.read_config(tmp_path / "config.json")
    first = {"gpt_neox": "embed_in.weight"}.get(kind, "embed_tokens.weight")
    # Only names are looked at.
    tensor = object.__new__(StoredTensor)
    start = "gpt_neox." if kind == "gpt_neox" else "model."
    full = family.names(config, {start + first: tensor}).stored
    bare = family.names(config, {first: tensor}).stored
    assert {leaf: name.removeprefix(start) for leaf, name in full.items()} == bare


@pytest.mark.parametrize(
    "name",
    [
        "model.layers.3.self_attn.rotary_emb.inv_freq", "model.rotary_emb.inv_freq",
        "rotary_emb.inv_freq", "gpt_neox.layers.0.attention.rotary_emb.inv_freq",
    ],
)  # fmt: skip
def test_stored_frequencies_are_let_through(tmp_path, name):
    for kind in ("llama", "gemma", "gemma2", "olmo2", "phi3", "gpt_neox"):
        config = read(tmp_path, kind, **{"rotary_pct": 0.5} if "neox" in kind else {})
        family, _ = huggingface.read_config(tmp_path / "config.json")
        ignored = family.names(config, {}).ignored
        assert any(re.fullmatch(pattern, name) for pattern in ignored)


@pytest.mark.parity
@pytest.mark.parametrize("name", FAMILIES)
def test_rules_cover_nothing_that_the_references_code_reads(name):
    transformers = pytest.importorskip("transformers")
    kind = getattr(transformers, f"{name}Config")
    module = getattr(transformers.models, kind.model_type.removesuffix("_text"))
    source = pathlib.Path(module.__file__).parent
    code = "".join(path.read_text() for path in source.glob("modeling_*.py"))
    code = code.partition("ForSequenceClassification(")[0]
    for field in dataclasses.fields(kind):
        if f"config.{field.name}" in code and field.name not in NOT_OF_THE_NUMBERS:
            assert not without_effect.is_without_effect(field.name), field.name


# The reference's code reads them for training, caches, outputs, or classifiers.
NOT_OF_THE_NUMBERS = {
    "attention_dropout", "hidden_dropout", "classifier_dropout", "attn_pdrop",
    "embd_pdrop", "resid_pdrop", "initializer_range", "use_cache", "pad_token_id",
    "output_attentions", "output_hidden_states", "return_dict", "problem_type",
    "is_decoder",
    "summary_first_dropout", "summary_proj_to_labels", "summary_use_proj",
    "summary_type", "summary_activation",
}  # fmt: skip


@pytest.mark.parity
def test_rules_cover_all_settings_of_generation():
    transformers = pytest.importorskip("transformers")
    for name in transformers.GenerationConfig._get_default_generation_params():
        assert without_effect.is_without_effect(name), name
