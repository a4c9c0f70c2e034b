"""Every family's `config.json` as a `ModelConfig`.

Defaults are those of `transformers` where an attribute may be left out; what the
model's shape cannot do without is required.
"""

from typing import Any

from mcq_jax.checkpoints.attributes import Attributes
from mcq_jax.checkpoints.huggingface_rope import read_rope, read_two_ropes
from mcq_jax.model import Activation, ModelConfig, Norm, QueryKeyNorm


def llama(attributes: Attributes) -> ModelConfig:
    """Llama 1 to 3, SmolLM2, and what else says so."""
    attributes.expect("rope_interleaved", False)
    shape = _shape(attributes)
    return ModelConfig(
        **shape,
        **_rms(attributes),
        **_biases(attributes, has_mlp_bias=True),
        **read_rope(attributes, shape["head_width"]),
        context=attributes.take("max_position_embeddings", int, 2048),
        activation=_activation(attributes, "hidden_act", "silu"),
    )


def mistral(attributes: Attributes) -> ModelConfig:
    """Mistral: every layer has the window, if there is one."""
    shape = _shape(attributes)
    window = attributes.take("sliding_window", int, 4096, null=None)
    return ModelConfig(
        **shape,
        **_rms(attributes),
        **read_rope(attributes, shape["head_width"]),
        **_in_every_layer(window, shape["layers"]),
        context=attributes.take("max_position_embeddings", int, 131_072),
        activation=_activation(attributes, "hidden_act", "silu"),
    )


def qwen2(attributes: Attributes) -> ModelConfig:
    """Qwen2 and Qwen2.5: biases on queries, keys and values."""
    attributes.expect("use_mrope", False)
    shape = _shape(attributes)
    return ModelConfig(
        **shape,
        **_rms(attributes),
        **read_rope(attributes, shape["head_width"]),
        **_upper_windows(attributes, shape["layers"]),
        qkv_bias=True,
        context=attributes.take("max_position_embeddings", int, 32_768),
        activation=_activation(attributes, "hidden_act", "silu"),
    )


def qwen3(attributes: Attributes) -> ModelConfig:
    """Qwen3: normed heads in place of biases."""
    shape = _shape(attributes, head_width=128)
    return ModelConfig(
        **shape,
        **_rms(attributes),
        **_biases(attributes),
        **read_rope(attributes, shape["head_width"]),
        **_upper_windows(attributes, shape["layers"]),
        query_key_norm=QueryKeyNorm.HEAD,
        context=attributes.take("max_position_embeddings", int, 32_768),
        activation=_activation(attributes, "hidden_act", "silu"),
    )


def smollm3(attributes: Attributes) -> ModelConfig:
    """SmolLM3: every fourth layer does not rotate; those may have windows."""
    shape = _shape(attributes)
    layers = shape["layers"]
    interval = attributes.take("no_rope_layer_interval", int, 4)
    default = [int((i + 1) % interval != 0) for i in range(layers)]
    rotates = attributes.take("no_rope_layers", list, default)[:layers]
    unrotated = tuple(i for i, turns in enumerate(rotates) if not turns)
    attributes.ignore("max_window_layers")  # which the reference does not read here
    uses_window = attributes.take("use_sliding_window", bool, False)
    window = attributes.take("sliding_window", int, None)
    windowed = unrotated if uses_window and window is not None else ()
    return ModelConfig(
        **shape,
        **_rms(attributes),
        **_biases(attributes, has_mlp_bias=True),
        **read_rope(attributes, shape["head_width"], base=2_000_000.0),
        **_windows(attributes, layers, window if uses_window else None, windowed),
        unrotated_layers=unrotated,
        context=attributes.take("max_position_embeddings", int, 32_768),
        activation=_activation(attributes, "hidden_act", "silu"),
    )


def olmo2(attributes: Attributes) -> ModelConfig:
    """OLMo 2: norms behind the blocks only, and over all queries (keys) together."""
    shape = _shape(attributes)
    return ModelConfig(
        **shape,
        **_rms(attributes, default=1e-5),
        **_biases(attributes),
        **read_rope(attributes, shape["head_width"]),
        pre_norm=False,
        post_norm=True,
        query_key_norm=QueryKeyNorm.PROJECTION,
        context=attributes.take("max_position_embeddings", int, 2048),
        activation=_activation(attributes, "hidden_act", "silu"),
    )


def phi3(attributes: Attributes) -> ModelConfig:
    """Phi-3 and Phi-4-mini without longrope, which is refused by its name."""
    attributes.expect("attention_bias", False)
    attributes.expect("lm_head_bias", False)
    attributes.expect("full_attn_mod", 1)
    attributes.expect("interpolate_factor", 1)
    # The code that some folders bring is that of transformers; only longrope reads
    # the original context.
    attributes.ignore("auto_map", "original_max_position_embeddings")
    shape = _shape(attributes)
    window = attributes.take("sliding_window", int, None)
    return ModelConfig(
        **shape,
        **_rms(attributes, default=1e-5),
        **read_rope(attributes, shape["head_width"], fraction=1.0),
        **_in_every_layer(window, shape["layers"]),
        context=attributes.take("max_position_embeddings", int, 4096),
        activation=_activation(attributes, "hidden_act", "silu"),
    )


def gemma(attributes: Attributes) -> ModelConfig:
    """Gemma 1. Its `gelu` is meant as the approximation by tanh."""
    for name in ("hidden_act", "hidden_activation"):
        attributes.expect(name, "gelu", "gelu_pytorch_tanh")
    shape = _shape(attributes, head_width=256)
    return ModelConfig(
        **shape,
        **_rms(attributes),
        **_biases(attributes),
        **read_rope(attributes, shape["head_width"]),
        **_gemma(attributes, shape["width"]),
        activation=Activation.GELU_TANH,
    )


def gemma2(attributes: Attributes) -> ModelConfig:
    """Gemma 2: norms on both sides, caps, windows in every other layer."""
    shape = _shape(attributes, head_width=256)
    return ModelConfig(
        **shape,
        **_rms(attributes),
        **_biases(attributes),
        **read_rope(attributes, shape["head_width"]),
        **_gemma(attributes, shape["width"]),
        **_gemma2(attributes, shape["layers"], every=2, caps=(50.0, 30.0)),
    )


def gemma3(attributes: Attributes) -> ModelConfig:
    """Gemma 3, text only: normed heads, windows in five layers of six."""
    shape = _shape(attributes, head_width=256)
    every = attributes.take("sliding_window_pattern", int, 6)
    # The reference keeps the value, and its attention never uses it.
    attributes.ignore("attn_logit_softcapping")
    return ModelConfig(
        **shape,
        **_rms(attributes),
        **_biases(attributes),
        **read_two_ropes(attributes, shape["head_width"]),
        **_gemma(attributes, shape["width"], context=131_072),
        **_gemma2(attributes, shape["layers"], every=every, caps=(None, None)),
        query_key_norm=QueryKeyNorm.HEAD,
    )


def gpt2(attributes: Attributes) -> ModelConfig:
    """GPT-2, and models trained with it as a template."""
    # Of the first release, which nothing reads; and in which order scores are computed.
    attributes.ignore("n_special", "predict_special_tokens", "reorder_and_upcast_attn")
    for name, other in _GPT2_DOUBLES:
        attributes.drop_double(name, other, None)
    width = attributes.take("n_embd", int)
    heads = attributes.take("n_head", int)
    _check_division("n_embd", width, "n_head", heads, attributes)
    context = attributes.take("n_positions", int, 1024)
    attributes.expect("n_ctx", context)
    is_scaled = attributes.take("scale_attn_weights", bool, True)
    return ModelConfig(
        layers=attributes.take("n_layer", int),
        width=width,
        kv_heads=heads,
        group=1,
        head_width=width // heads,
        neurons=attributes.take("n_inner", int, 4 * width),
        vocabulary=attributes.take("vocab_size", int),
        context=context,
        **_layer_norm(attributes, "layer_norm_epsilon"),
        activation=_activation(attributes, "activation_function", "gelu_new"),
        learned_positions=True,
        rotary_width=0,
        score_scale=None if is_scaled else 1.0,
        score_scale_by_layer=attributes.take(
            "scale_attn_by_inverse_layer_idx", bool, False
        ),
        qkv_bias=True,
        attention_output_bias=True,
        mlp_bias=True,
        gated=False,
    )


def gpt_neox(attributes: Attributes) -> ModelConfig:
    """GPT-NeoX and Pythia: blocks in parallel, a quarter of each head rotates."""
    # Fine-tunes repeat them under Llama's names, which the reference does not read.
    for name, other, default in _NEOX_DOUBLES:
        attributes.drop_double(name, other, default)
    width = attributes.take("hidden_size", int)
    heads = attributes.take("num_attention_heads", int)
    _check_division("hidden_size", width, "num_attention_heads", heads, attributes)
    has_bias = attributes.take("attention_bias", bool, True)
    return ModelConfig(
        layers=attributes.take("num_hidden_layers", int),
        width=width,
        kv_heads=heads,
        group=1,
        head_width=width // heads,
        neurons=attributes.take("intermediate_size", int),
        vocabulary=attributes.take("vocab_size", int),
        **_layer_norm(attributes, "layer_norm_eps"),
        **read_rope(
            attributes,
            width // heads,
            fraction=0.25,
            base_name="rotary_emb_base",
            fraction_name="rotary_pct",
        ),
        parallel=attributes.take("use_parallel_residual", bool, True),
        context=attributes.take("max_position_embeddings", int, 2048),
        activation=_activation(attributes, "hidden_act", "gelu"),
        qkv_bias=has_bias,
        attention_output_bias=has_bias,
        mlp_bias=True,
        gated=False,
    )


_NEOX_DOUBLES = (
    ("rotary_emb_base", "rope_theta", 10_000),
    ("rotary_pct", "partial_rotary_factor", 0.25),
)
_GPT2_DOUBLES = (
    ("n_embd", "hidden_size"),
    ("n_head", "num_attention_heads"),
    ("n_layer", "num_hidden_layers"),
    ("n_positions", "max_position_embeddings"),
)


def _shape(attributes: Attributes, head_width: int | None = None) -> dict[str, Any]:
    width = attributes.take("hidden_size", int)
    heads = attributes.take("num_attention_heads", int)
    kv_heads = attributes.take("num_key_value_heads", int, heads)
    if min(heads, kv_heads) < 1 or heads % kv_heads:
        raise ValueError(
            f"{heads} attention heads and {kv_heads} key/value heads in "
            f"{attributes.source}; the second must divide the first."
        )
    default = width // heads if head_width is None else head_width
    return {
        "layers": attributes.take("num_hidden_layers", int),
        "width": width,
        "kv_heads": kv_heads,
        "group": heads // kv_heads,
        "head_width": attributes.take("head_dim", int, default),
        "neurons": attributes.take("intermediate_size", int),
        "vocabulary": attributes.take("vocab_size", int),
    }


def _check_division(
    name: str, whole: int, part_name: str, part: int, attributes: Attributes
) -> None:
    if part < 1 or whole % part:
        raise ValueError(
            f"{name} is {whole} and {part_name} {part} in {attributes.source}; the "
            "second must divide the first."
        )


def _rms(attributes: Attributes, default: float = 1e-6) -> dict[str, Any]:
    return {"norm_epsilon": attributes.take("rms_norm_eps", float, default)}


def _layer_norm(attributes: Attributes, name: str) -> dict[str, Any]:
    return {
        "norm": Norm.LAYER,
        "norm_epsilon": attributes.take(name, float, 1e-5),
    }


def _biases(attributes: Attributes, *, has_mlp_bias: bool = False) -> dict[str, Any]:
    has_bias = attributes.take("attention_bias", bool, False)
    biases = {"qkv_bias": has_bias, "attention_output_bias": has_bias}
    if has_mlp_bias:
        biases["mlp_bias"] = attributes.take("mlp_bias", bool, False)
    return biases


_ACTIVATIONS = {
    "gelu": Activation.GELU,
    "gelu_python": Activation.GELU,
    "gelu_accurate": Activation.GELU_TANH,
    "gelu_fast": Activation.GELU_TANH,
    "gelu_new": Activation.GELU_TANH,
    "gelu_python_tanh": Activation.GELU_TANH,
    "gelu_pytorch_tanh": Activation.GELU_TANH,
    "relu": Activation.RELU,
    "silu": Activation.SILU,
    "swish": Activation.SILU,
}


def _activation(attributes: Attributes, name: str, default: str) -> Activation:
    chosen = attributes.take(name, str, default)
    if chosen not in _ACTIVATIONS:
        raise ValueError(
            f"{name} is {chosen!r} in {attributes.source}; supported are "
            f"{', '.join(_ACTIVATIONS)}."
        )
    return _ACTIVATIONS[chosen]


def _gemma(attributes: Attributes, width: int, *, context=8192) -> dict[str, Any]:
    attributes.expect("use_bidirectional_attention", False)
    return {
        "embedding_scale": width**0.5,
        "context": attributes.take("max_position_embeddings", int, context),
    }


def _gemma2(
    attributes: Attributes,
    layers: int,
    *,
    every: int,
    caps: tuple[float | None, float | None],
) -> dict[str, Any]:
    """What Gemma 2 and 3 share; the last of `every` layers has no window."""
    # Only sliding_window and hidden_activation count, of the spellings there are.
    attributes.ignore("sliding_window_size", "hidden_act")
    window = attributes.take("sliding_window", int, 4096, null=None)
    windowed = tuple(i for i in range(layers) if (i + 1) % every)
    scalar = attributes.take("query_pre_attn_scalar", float, 256.0)
    score_cap, logit_cap = caps
    return {
        "post_norm": True,
        "activation": _activation(attributes, "hidden_activation", "gelu_pytorch_tanh"),
        "score_scale": scalar**-0.5,
        "score_cap": attributes.take(
            "attn_logit_softcapping", float, score_cap, null=None
        ),
        "logit_cap": attributes.take(
            "final_logit_softcapping", float, logit_cap, null=None
        ),
        **_windows(attributes, layers, window, windowed),
    }


def _in_every_layer(window: int | None, layers: int) -> dict[str, Any]:
    if window is None:
        return {}
    return {"window": window, "windowed_layers": tuple(range(layers))}


def _upper_windows(attributes: Attributes, layers: int) -> dict[str, Any]:
    """Qwen's windows: described in most configs, used in few."""
    uses_window = attributes.take("use_sliding_window", bool, False)
    window = attributes.take("sliding_window", int, 4096, null=None)
    first = attributes.take("max_window_layers", int, 28)
    window = window if uses_window else None
    windowed = tuple(range(first, layers)) if window is not None else ()
    return _windows(attributes, layers, window, windowed)


def _windows(
    attributes: Attributes, layers: int, window: int | None, windowed: tuple[int, ...]
) -> dict[str, Any]:
    """The windows that `layer_types` lists, or else those of `windowed` layers."""
    kinds = attributes.take("layer_types", list, None)
    if kinds is not None:
        windowed = tuple(i for i, k in enumerate(kinds) if k == "sliding_attention")
        known = {"full_attention", "sliding_attention"}
        if len(kinds) != layers or set(map(str, kinds)) - known:
            raise ValueError(
                f"layer_types is {kinds} in {attributes.source}; expected "
                f"'full_attention' or 'sliding_attention' for each of {layers} layers."
            )
    if windowed and window is None:
        raise ValueError(
            f"layer_types has windows in layers {windowed} in {attributes.source}, but "
            "no sliding_window is in use; mend the one or the other."
        )
    if not windowed:
        return {}
    return {"window": window, "windowed_layers": windowed}
