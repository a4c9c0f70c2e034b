"""Gemma 2: norms on both sides of blocks, caps, windows in every other layer."""

import dataclasses
from typing import Any

from mcq_jax.checkpoints.attributes import Attributes
from mcq_jax.checkpoints.conversion import Description, Names
from mcq_jax.checkpoints.families.family import Family, GgufFamily, Tensors
from mcq_jax.checkpoints.families.gemma import raised_gains, read_gemma
from mcq_jax.checkpoints.gguf_config import read_config
from mcq_jax.checkpoints.gguf_names import FOUR_NORMS, NAMES, description
from mcq_jax.checkpoints.huggingface_names import llama_names
from mcq_jax.checkpoints.huggingface_rope import read_rope
from mcq_jax.checkpoints.huggingface_settings import read_activation
from mcq_jax.checkpoints.windows import read_windows, windows_in
from mcq_jax.model import Activation, ModelConfig


def _config(attributes: Attributes) -> ModelConfig:
    settings = read_gemma(attributes, context=8192)
    return ModelConfig(
        **settings,
        **read_rope(attributes, settings["head_width"]),
        **read_gemma2(attributes, settings["layers"], every=2, caps=(50.0, 30.0)),
    )


def read_gemma2(
    attributes: Attributes,
    layers: int,
    *,
    every: int,
    caps: tuple[float | None, float | None],
) -> dict[str, Any]:
    """What Gemma 2 and 3 share beyond Gemma 1.

    Args:
        every: the last of so many layers has no window.
        caps: of scores and of logits, where the config is silent.
    """
    # Only sliding_window and hidden_activation count, of the spellings there are.
    attributes.ignore("sliding_window_size", "hidden_act")
    window = attributes.take("sliding_window", int, 4096, null=None)
    scalar = attributes.take("query_pre_attn_scalar", float, 256.0)
    score_cap, logit_cap = caps
    return {
        "post_norm": True,
        "activation": read_activation(
            attributes, "hidden_activation", "gelu_pytorch_tanh"
        ),
        "score_scale": scalar**-0.5,
        "score_cap": attributes.take(
            "attn_logit_softcapping", float, score_cap, null=None
        ),
        "logit_cap": attributes.take(
            "final_logit_softcapping", float, logit_cap, null=None
        ),
        **read_windows(attributes, layers, window, _windowed(layers, every)),
    }


def four_norms(config: ModelConfig, tensors: Tensors) -> Names:
    """The tensors of Gemma 2 and 3 in Hugging Face folders."""
    return llama_names(
        tensors,
        ("attention", "post_norm_gain", "post_attention_layernorm.weight"),
        ("feedforward", "norm_gain", "pre_feedforward_layernorm.weight"),
        ("feedforward", "post_norm_gain", "post_feedforward_layernorm.weight"),
        views=raised_gains(config),
    )


def _gguf(attributes: Attributes, tensors: Tensors) -> Description:
    return describe_gemma2(
        attributes,
        tensors,
        largest=46,
        every=2,
        score_cap=attributes.take("attn_logit_softcapping", float, None),
        logit_cap=attributes.take("final_logit_softcapping", float, None),
    )


def describe_gemma2(
    attributes: Attributes, tensors: Tensors, *, largest: int, every: int, **own: Any
) -> Description:
    """GGUF files of Gemma 2 and 3; gains are stored as they multiply, 1 + w.

    Args:
        largest: layers of the one size that such files do not describe in full.
        every: the last of so many layers has no window.
        own: further fields of the config.
    """
    window = attributes.take("attention.sliding_window", int)
    config = read_config(
        attributes, tensors, activation=Activation.GELU_TANH, post_norm=True, **own
    )
    if config.layers == largest:
        raise ValueError(
            f"{attributes.source} has {largest} layers: the one size whose scores have "
            "a scale of their own, which the file does not say; give the model as a "
            "Hugging Face folder instead."
        )
    config = dataclasses.replace(
        config,
        embedding_scale=config.width**0.5,
        **windows_in(_windowed(config.layers, every), window),
    )
    return description(config, tensors, stored=NAMES | FOUR_NORMS)


def _windowed(layers: int, every: int) -> list[int]:
    return [layer for layer in range(layers) if (layer + 1) % every]


FAMILY = Family(
    model_type="gemma2",
    architecture="Gemma2ForCausalLM",
    config=_config,
    names=four_norms,
    is_tied=True,
    gguf=GgufFamily(architecture="gemma2", describe=_gguf),
)
