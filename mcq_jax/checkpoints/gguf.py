"""A GGUF file's model: metadata to `ModelConfig`, and the names of its tensors.

A further family is a function and its entry of `_ARCHITECTURES`. Those that could not
be checked against a file or `transformers` are missing, and so refused by name.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mcq_jax.checkpoints.attributes import Attributes
from mcq_jax.checkpoints.conversion import (
    UNEMBED_TABLE,
    Description,
    Leaf,
    Names,
    StoredTensor,
)
from mcq_jax.checkpoints.gguf_config import ROPE_FACTORS, read_config
from mcq_jax.checkpoints.gguf_file import GgufFile
from mcq_jax.checkpoints.gguf_names import (
    FOUR_NORMS,
    GATE,
    NAMES,
    QKV,
    QKV_BIAS,
    UP,
)
from mcq_jax.checkpoints.views import View, one_after_another
from mcq_jax.model import Activation, ModelConfig, Norm, QueryKeyNorm


def describe(file: GgufFile) -> Description:
    """Returns the config and the tensor names of a GGUF file's model."""
    architecture = file.metadata.get("general.architecture")
    if architecture not in _ARCHITECTURES:
        raise ValueError(
            f"{file.path} has a model of architecture {architecture!r}; supported are "
            f"{', '.join(_ARCHITECTURES)}."
        )
    parts = file.metadata.get("split.count", 1)
    if parts != 1:
        raise ValueError(
            f"{file.path} is one of {parts} parts of a model; join them first "
            "(llama.cpp has gguf-split --merge)."
        )
    start = f"{architecture}."
    values = {
        key.removeprefix(start): value
        for key, value in file.metadata.items()
        if key.startswith(start)
    }
    attributes = Attributes(values, f"{file.path} ({start}…)")
    description = _ARCHITECTURES[architecture](attributes, file.tensors)
    attributes.finish()
    return description


def _llama(attributes: Attributes, tensors: Mapping[str, StoredTensor]) -> Description:
    """Llama and SmolLM2: queries and keys are stored for interleaved rotation."""
    config = read_config(attributes, tensors, qkv_bias="blk.0.attn_q.bias" in tensors)
    turning = {"query", "key", "query_bias", "key_bias"}
    return _described(config, tensors, interleaved=frozenset(turning))


def _qwen2(attributes: Attributes, tensors: Mapping[str, StoredTensor]) -> Description:
    """Qwen2 and Qwen2.5: biases on queries, keys and values; stored as they are."""
    return _described(read_config(attributes, tensors, qkv_bias=True), tensors)


def _qwen3(attributes: Attributes, tensors: Mapping[str, StoredTensor]) -> Description:
    """Qwen3: normed heads."""
    config = read_config(attributes, tensors, query_key_norm=QueryKeyNorm.HEAD)
    return _described(config, tensors)


def _phi3(attributes: Attributes, tensors: Mapping[str, StoredTensor]) -> Description:
    """Phi-3: the packed tensors of Hugging Face; `ffn_up` holds the gate as well."""
    window = attributes.take("attention.sliding_window", int, 0)
    turning = attributes.take("rope.dimension_count", int)
    config = read_config(attributes, tensors, rotary_width=turning)
    config = _with_windows(config, window, range(config.layers if window else 0))
    qkv = {("layers", "attention", name): QKV for name in ("query", "key", "value")}
    up = {leaf: "blk.{layer}.ffn_up.weight" for leaf in (GATE, UP)}
    neurons = one_after_another(config.neurons, config.neurons)
    views = dict(zip(qkv, _heads_in_a_row(config), strict=True))
    views |= dict(zip(up, neurons, strict=True))
    return _described(config, tensors, stored=NAMES | qkv | up, views=views)


def _gpt2(attributes: Attributes, tensors: Mapping[str, StoredTensor]) -> Description:
    """GPT-2: matrices are turned to [output, input]; heads stay packed."""
    config = read_config(
        attributes,
        tensors,
        norm=Norm.LAYER,
        norm_epsilon=attributes.take("attention.layer_norm_epsilon", float),
        activation=Activation.GELU_TANH,
        gated=False,
        learned_positions=True,
        rotary_width=0,
        qkv_bias=True,
    )
    stored, views = dict(NAMES), {}
    parts = zip(("query", "key", "value"), _heads_in_a_row(config), strict=True)
    for name, part in parts:
        for leaf, tensor in ((name, QKV), (f"{name}_bias", QKV_BIAS)):
            stored["layers", "attention", leaf] = tensor
            views["layers", "attention", leaf] = part
    return _described(config, tensors, stored=stored, views=views)


def _gemma2(attributes: Attributes, tensors: Mapping[str, StoredTensor]) -> Description:
    """Gemma 2: norms on both sides, caps, windows in every other layer."""
    config = _gemma(
        attributes,
        tensors,
        largest=46,
        every=2,
        score_cap=attributes.take("attn_logit_softcapping", float, None),
        logit_cap=attributes.take("final_logit_softcapping", float, None),
    )
    return _described(config, tensors, stored=NAMES | FOUR_NORMS)


def _gemma3(attributes: Attributes, tensors: Mapping[str, StoredTensor]) -> Description:
    """Gemma 3: normed heads; windowed layers rotate by 10,000, which goes unsaid."""
    config = _gemma(
        attributes,
        tensors,
        largest=62,
        every=attributes.take("attention.sliding_window_pattern", int, 6),
        query_key_norm=QueryKeyNorm.HEAD,
        windowed_rope_base=attributes.take("rope.freq_base_swa", float, 10_000.0),
    )
    return _described(config, tensors, stored=NAMES | FOUR_NORMS)


def _gemma(
    attributes: Attributes,
    tensors: Mapping[str, StoredTensor],
    *,
    largest: int,
    every: int,
    **own: Any,
) -> ModelConfig:
    """What Gemma 2 and 3 share; gains are stored as they multiply, 1 + w."""
    window = attributes.take("attention.sliding_window", int)
    config = read_config(
        attributes,
        tensors,
        activation=Activation.GELU_TANH,
        post_norm=True,
        **own,
    )
    config = dataclasses.replace(config, embedding_scale=config.width**0.5)
    if config.layers == largest:
        raise ValueError(
            f"{attributes.source} has {largest} layers: the one size whose scores have "
            "a scale of their own, which the file does not say; give the model as a "
            "Hugging Face folder instead."
        )
    windowed = [i for i in range(config.layers) if (i + 1) % every]
    return _with_windows(config, window, windowed)


_ARCHITECTURES: dict[
    str, Callable[[Attributes, Mapping[str, StoredTensor]], Description]
] = {
    "llama": _llama,
    "qwen2": _qwen2,
    "qwen3": _qwen3,
    "phi3": _phi3,
    "gpt2": _gpt2,
    "gemma2": _gemma2,
    "gemma3": _gemma3,
}


def _with_windows(
    config: ModelConfig, window: int, layers: Sequence[int]
) -> ModelConfig:
    if not layers:
        return config
    return dataclasses.replace(config, window=window, windowed_layers=tuple(layers))


def _heads_in_a_row(config: ModelConfig) -> list[View]:
    keys = config.kv_heads * config.head_width
    return one_after_another(config.heads * config.head_width, keys, keys)


def _described(
    config: ModelConfig,
    tensors: Mapping[str, StoredTensor],
    *,
    stored: Mapping[Leaf, str] | None = None,
    **how: Any,
) -> Description:
    stored = NAMES if stored is None else stored
    tied = NAMES[UNEMBED_TABLE] not in tensors
    return Description(
        config=dataclasses.replace(config, tied=tied),
        names=Names(stored=stored, ignored=(ROPE_FACTORS,), **how),
    )
