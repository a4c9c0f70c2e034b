"""Tiny random models of every family as `transformers` builds them, beside ours.

Between them: heads with keys of their own, shared by some and by all; tied tables or
not; biases or not; windows shorter than the prompts; every kind of rotation. All
sizes differ, so that no axis can stand in for another.
"""

import dataclasses
import pathlib
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax import checkpoints, model
from mcq_jax.interventions import Site
from tests.checkpoints import files

LAYERS = 3
# Both compute in float32, on logits of a few units.
TOLERANCE = 1e-4

LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
# The reference stretches only beyond max_position_embeddings.
DYNAMIC = {"rope_type": "dynamic", "rope_theta": 500.0, "factor": 3.0}
LINEAR = {"rope_type": "linear", "rope_theta": 500.0, "factor": 3.0}
PARTIAL = {"rope_type": "default", "rope_theta": 100.0, "partial_rotary_factor": 0.75}
LOCAL = {
    "full_attention": {"rope_type": "linear", "rope_theta": 500.0, "factor": 3.0},
    "sliding_attention": {"rope_type": "default", "rope_theta": 20.0},
}
WINDOWS = ["sliding_attention", "full_attention", "sliding_attention"]

# Config class, heads, key/value heads, head width (None: the family has no say in it),
# width, neurons, and what else differs.
Case = tuple[str, int, int, int | None, int, int, dict[str, Any]]
CASES: dict[str, Case] = {
    "llama, every head its own keys": ("Llama", 3, 3, 4, 12, 17, {}),
    "llama, grouped, head width apart": ("Llama", 6, 2, 10, 18, 9, {}),
    "llama, one key head": ("Llama", 5, 1, 6, 30, 11, {}),
    "llama, tied": ("Llama", 4, 2, 6, 24, 20, {"tie_word_embeddings": True}),
    "llama, all biases": (
        "Llama", 4, 2, 6, 24, 20, {"attention_bias": True, "mlp_bias": True},
    ),
    "llama, rope of Llama 3": ("Llama", 6, 3, 16, 24, 13, {"rope_parameters": LLAMA3}),
    "llama, dynamic rope": ("Llama", 2, 1, 8, 18, 7, {"rope_parameters": DYNAMIC}),
    "llama, linear rope": ("Llama", 2, 1, 8, 18, 7, {"rope_parameters": LINEAR}),
    "mistral, window": ("Mistral", 6, 2, 10, 18, 9, {"sliding_window": 7}),
    "mistral, no window": ("Mistral", 4, 1, 8, 20, 13, {"sliding_window": None}),
    "qwen2, every head its own keys": ("Qwen2", 3, 3, None, 12, 17, {}),
    "qwen2, grouped": ("Qwen2", 14, 2, None, 56, 10, {}),
    "qwen2, tied, windows from layer 1": (
        "Qwen2", 3, 1, None, 24, 5,
        {
            "tie_word_embeddings": True,
            "use_sliding_window": True,
            "sliding_window": 5,
            "max_window_layers": 1,
        },
    ),
    "qwen3, grouped": ("Qwen3", 6, 2, 10, 18, 9, {}),
    "qwen3, one key head, tied, biases": (
        "Qwen3", 3, 1, 8, 20, 7, {"tie_word_embeddings": True, "attention_bias": True},
    ),
    "gemma, one key head": ("Gemma", 4, 1, 10, 24, 9, {}),
    "gemma, every head its own keys": ("Gemma", 3, 3, 8, 18, 7, {}),
    "gemma2, grouped": (
        "Gemma2", 4, 2, 10, 24, 9, {"sliding_window": 6, "query_pre_attn_scalar": 12},
    ),
    "gemma2, low caps": (
        "Gemma2", 4, 4, 6, 20, 9,
        {
            "sliding_window": 4,
            "attn_logit_softcapping": 1.5,
            "final_logit_softcapping": 2.5,
        },
    ),
    "gemma3, grouped, two ropes": (
        "Gemma3Text", 4, 2, 10, 24, 9,
        {"sliding_window": 6, "layer_types": WINDOWS, "rope_parameters": LOCAL},
    ),
    "gemma3, one key head, pattern by default": (
        "Gemma3Text", 4, 1, 8, 20, 9,
        # Stored by the reference, and not used.
        {"sliding_window": 3, "attn_logit_softcapping": 1.5},
    ),
    "olmo2, every head its own keys": ("Olmo2", 4, 4, None, 24, 9, {}),
    "olmo2, grouped, tied": (
        "Olmo2", 6, 2, None, 36, 9, {"tie_word_embeddings": True},
    ),
    "smollm3, grouped": ("SmolLM3", 4, 2, None, 24, 9, {"no_rope_layer_interval": 2}),
    "smollm3, windows, untied, biases": (
        "SmolLM3", 4, 1, None, 32, 9,
        {
            "no_rope_layers": [1, 0, 0],
            "use_sliding_window": True,
            "sliding_window": 5,
            "tie_word_embeddings": False,
            "attention_bias": True,
            "mlp_bias": True,
        },
    ),
    "phi3, grouped, window": ("Phi3", 4, 2, None, 24, 9, {"sliding_window": 9}),
    "phi3, every head its own keys, partial rope": (
        "Phi3", 3, 3, None, 24, 7, {"rope_parameters": PARTIAL},
    ),
    "gpt2": ("GPT2", 4, 4, None, 24, 17, {}),
    "gpt2, untied, scores by layer": (
        "GPT2", 3, 3, None, 18, 11,
        {"tie_word_embeddings": False, "scale_attn_by_inverse_layer_idx": True},
    ),
    "gpt_neox, parallel": (
        "GPTNeoX", 4, 4, None, 32, 17, {"rotary_pct": 0.25, "hidden_act": "gelu_fast"},
    ),
    "gpt_neox, one after the other, no biases": (
        "GPTNeoX", 3, 3, None, 24, 11,
        {"use_parallel_residual": False, "attention_bias": False, "rotary_pct": 1.0},
    ),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Pair:
    """The same model in both libraries."""

    reference: Any
    ours: checkpoints.Checkpoint


@dataclasses.dataclass(frozen=True)
class Seen:
    """What a run shows: `[row, position, vocabulary]`, `[layer, row, …]` twice."""

    logits: np.ndarray
    residuals: np.ndarray  # before every layer, and behind the final norm
    patterns: np.ndarray  # [layer, row, head, query, key]


def build(name: str, folder: pathlib.Path, *, dtype: str = "float32") -> Pair:
    """Returns a random reference model, saved and loaded by us."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    reference = transformers.AutoModelForCausalLM.from_config(
        _config(transformers, CASES[name]), attn_implementation="eager"
    ).eval()
    with torch.no_grad():
        for parameter_name, parameter in reference.named_parameters():
            parameter.normal_(0.0, 0.3)
            is_gain = "norm" in parameter_name or "ln_" in parameter_name
            if is_gain and parameter_name.endswith("weight") and "gemma" not in name:
                parameter.add_(1.0)
    reference.save_pretrained(folder)
    files.TOKENIZER.save(str(folder / "tokenizer.json"))
    reference = reference.to(getattr(torch, dtype))
    return Pair(reference, checkpoints.load(folder, dtype=dtype))


def _config(transformers, case: Case):
    kind, heads, kv_heads, head_width, width, neurons, more = case
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    shape = {
        "hidden_size": width,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": heads,
        "max_position_embeddings": 64,
        "vocab_size": files.VOCABULARY,
    }
    shape |= {"n_inner" if kind == "GPT2" else "intermediate_size": neurons}
    if kind not in ("GPT2", "GPTNeoX"):
        shape |= {"num_key_value_heads": kv_heads, "rms_norm_eps": 1e-5}
    if head_width is not None:
        shape["head_dim"] = head_width
    return getattr(transformers, f"{kind}Config")(**shape, **special, **more)


def random_tokens(rows: int, positions: int, *, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, files.VOCABULARY, (rows, positions))


def theirs(pair: Pair, tokens: np.ndarray) -> Seen:
    """What the reference shows."""
    torch = pytest.importorskip("torch")
    with torch.no_grad():
        out = pair.reference(
            torch.tensor(tokens), output_hidden_states=True, output_attentions=True
        )

    def array(tensors):
        return np.stack([tensor.float().numpy() for tensor in tensors])

    return Seen(
        out.logits.float().numpy(), array(out.hidden_states), array(out.attentions)
    )


def ours(pair: Pair, tokens: np.ndarray) -> Seen:
    """What our forward pass shows."""
    found = model.forward(
        pair.ours.parameters,
        jnp.asarray(tokens, jnp.int32),
        config=pair.ours.config,
        capture=[Site.RESID_PRE, Site.PATTERN, Site.FINAL_NORM],
    )
    seen = {site: np.asarray(a, np.float32) for site, a in found.activations.items()}
    residuals = [*seen[Site.RESID_PRE], seen[Site.FINAL_NORM]]
    layers, rows, kv_heads, group, *shape = seen[Site.PATTERN].shape
    patterns = seen[Site.PATTERN].reshape(layers, rows, kv_heads * group, *shape)
    return Seen(np.asarray(found.logits), np.stack(residuals), patterns)


def errors(one: Seen, other: Seen) -> dict[str, float]:
    """The largest difference of each kind."""
    fields = (field.name for field in dataclasses.fields(Seen))
    return {f: float(np.abs(getattr(one, f) - getattr(other, f)).max()) for f in fields}
