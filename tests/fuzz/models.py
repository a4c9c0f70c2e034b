"""A random tiny model of a family, as `transformers` builds it and as we load it.

Every option of a family's config that changes numbers is drawn: heads that share keys,
biases, windows, caps, rotations, tied tables, scales, activations, epsilons.
"""

import dataclasses
import pathlib
from typing import Any

import numpy as np
import pytest

from mcq_jax import checkpoints
from tests.checkpoints import files

FAMILIES = (
    "llama", "mistral", "qwen2", "qwen3", "smollm3", "olmo2", "phi3", "gemma",
    "gemma2", "gemma3", "gpt2", "gpt_neox",
)  # fmt: skip

_CLASSES = {
    "llama": "Llama", "mistral": "Mistral", "qwen2": "Qwen2", "qwen3": "Qwen3",
    "smollm3": "SmolLM3", "olmo2": "Olmo2", "phi3": "Phi3", "gemma": "Gemma",
    "gemma2": "Gemma2", "gemma3": "Gemma3Text", "gpt2": "GPT2", "gpt_neox": "GPTNeoX",
}  # fmt: skip
_GEMMAS = ("gemma", "gemma2", "gemma3")
CONTEXT = 160


@dataclasses.dataclass(frozen=True)
class Model:
    """The same weights in both libraries."""

    family: str
    reference: Any
    ours: checkpoints.Checkpoint
    options: dict[str, Any]


def draw(family: str, generator: np.random.Generator, folder: pathlib.Path) -> Model:
    """Returns a random model of the family; `folder` is scratch space."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    options = draw_options(family, generator)
    config = getattr(transformers, f"{_CLASSES[family]}Config")(**options)
    torch.manual_seed(int(generator.integers(2**31)))
    reference = transformers.AutoModelForCausalLM.from_config(
        config, attn_implementation="eager"
    ).eval()
    with torch.no_grad():
        for name, parameter in reference.named_parameters():
            parameter.normal_(0.0, 0.3)
            is_gain = ("norm" in name or "ln_" in name) and name.endswith("weight")
            if is_gain and family not in _GEMMAS:
                parameter.add_(1.0)
    reference.save_pretrained(folder)
    files.TOKENIZER.save(str(folder / "tokenizer.json"))
    return Model(family, reference, checkpoints.load(folder), options)


def draw_options(family: str, generator: np.random.Generator) -> dict[str, Any]:
    """Returns the arguments of a config of `transformers`."""

    def pick(*choices):
        return choices[generator.integers(len(choices))]

    kv_heads, group = pick((1, 1), (1, 3), (2, 1), (2, 2), (3, 2), (1, 4), (2, 3))
    if family in ("gpt2", "gpt_neox"):
        kv_heads, group = pick((1, 1), (2, 1), (3, 1), (5, 1))
    heads, layers, head_width = kv_heads * group, pick(2, 3), pick(4, 6, 8, 10, 12)
    # Some checkpoints say so of families that have no word for it of their own.
    has_own_width = family not in ("gpt2", "gpt_neox") and pick(True, True, False)
    width = heads * pick(4, 6, 10) if has_own_width else heads * head_width
    options: dict[str, Any] = {
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "max_position_embeddings": CONTEXT,
        "vocab_size": files.VOCABULARY,
        "tie_word_embeddings": pick(True, False),
        "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
    }  # fmt: skip
    neurons = pick(5, 9, 16)
    if family == "gpt2":
        return options | {
            "n_inner": pick(neurons, None),
            "layer_norm_epsilon": pick(1e-5, 1e-3),
            "activation_function": pick("gelu_new", "gelu", "relu", "silu"),
            "scale_attn_weights": pick(True, True, False),
            "scale_attn_by_inverse_layer_idx": pick(True, False),
        }
    options["intermediate_size"] = neurons
    rope = _rope(pick)
    if family == "gpt_neox":
        return options | {
            "layer_norm_eps": pick(1e-5, 1e-3),
            "hidden_act": pick("gelu", "gelu_new", "relu", "silu"),
            "use_parallel_residual": pick(True, True, False),
            "attention_bias": pick(True, False),
            "rope_parameters": rope
            | {"partial_rotary_factor": pick(*_even(head_width, 0.25, 0.5, 1.0))},
        }
    options["num_key_value_heads"] = kv_heads
    options["rms_norm_eps"] = pick(1e-6, 1e-5, 1e-3)
    if has_own_width or family in _GEMMAS:
        options["head_dim"] = head_width
    if family in _GEMMAS:
        return options | _gemma(family, layers, head_width, rope, pick)
    options |= {"rope_parameters": rope, "hidden_act": pick("silu", "silu", "gelu_new")}
    if family not in ("mistral", "qwen2", "phi3"):
        options["attention_bias"] = pick(True, False)
    if family in ("llama", "smollm3"):
        options["mlp_bias"] = pick(True, False)
    window = pick(2, 5, 9)
    if family in ("mistral", "phi3"):
        options["sliding_window"] = pick(window, None)
    if family == "phi3":  # which knows no other rotation but longrope
        options["original_max_position_embeddings"] = CONTEXT // 2
        options["rope_parameters"] = {
            "rope_type": "default",
            "rope_theta": rope["rope_theta"],
            "partial_rotary_factor": pick(*_even(head_width, 0.5, 0.75, 1.0)),
        }
    if family in ("qwen2", "qwen3"):
        options |= {
            "use_sliding_window": pick(True, False),
            "sliding_window": window,
            "max_window_layers": pick(0, 1, 2),
        }
    if family == "smollm3":
        options |= pick(
            {"no_rope_layer_interval": pick(2, 4)},
            {"no_rope_layers": [pick(0, 1) for _ in range(layers)]},
        ) | {"use_sliding_window": pick(True, False), "sliding_window": window}
    return options


def _even(head_width: int, *fractions: float) -> list[float]:
    """Those that rotate an even number of dimensions: others are refused."""
    return [f for f in fractions if int(head_width * f) % 2 == 0]


def _rope(pick) -> dict[str, Any]:
    base = {"rope_theta": pick(20.0, 500.0, 10_000.0)}
    llama3 = {
        "rope_type": "llama3",
        "factor": pick(2.0, 8.0),
        "low_freq_factor": 1.0,
        "high_freq_factor": pick(2.0, 4.0),
        "original_max_position_embeddings": pick(16, 64),
    }
    kind = pick(
        {"rope_type": "default"},
        {"rope_type": "linear", "factor": pick(1.5, 3.0)},
        llama3,
    )
    return base | kind


def _gemma(family: str, layers: int, head_width: int, rope, pick) -> dict[str, Any]:
    options = {"attention_bias": pick(True, False)}
    if family == "gemma":
        return options | {"rope_parameters": rope}
    options |= {
        "query_pre_attn_scalar": pick(head_width, 7, 256),
        "hidden_activation": pick("gelu_pytorch_tanh", "silu", "relu"),
        "sliding_window": pick(2, 5, 9),
        "final_logit_softcapping": pick(None, 2.5, 30.0),
    }
    if family == "gemma2":
        return options | {
            "rope_parameters": rope,
            "attn_logit_softcapping": pick(None, 1.5, 50.0),
        }
    kinds = [pick("sliding_attention", "full_attention") for _ in range(layers)]
    local = {"rope_type": "default", "rope_theta": pick(20.0, 10_000.0)}
    return options | {
        "layer_types": pick(kinds, None),
        # Which the reference keeps and never uses.
        "attn_logit_softcapping": pick(None, None, 5.0),
        "rope_parameters": {"full_attention": rope, "sliding_attention": local},
    }
