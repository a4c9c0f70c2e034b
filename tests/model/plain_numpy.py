"""The forward pass once more, in numpy and float64: one token, one head at a time.

Written from the families' papers and not from the package, of which it shares the
config and the names of weights alone. Relative positions have a test of their own.
"""

import math

import numpy as np

from mcq_jax.model import (
    Activation,
    ModelConfig,
    Norm,
    Parameters,
    QueryKeyNorm,
    RopeScaling,
)

Weights = dict[str, np.ndarray]


def logits(
    parameters: Parameters, tokens: list[int], config: ModelConfig
) -> np.ndarray:
    """Returns the logits `[position, vocabulary]` of one sequence."""
    embedding, last = (_wide(g["~"]) for g in (parameters.embed, parameters.unembed))
    stream = embedding["table"][tokens] * config.embedding_scale
    if config.learned_positions:
        stream = stream + embedding["position_table"][: len(tokens)]
    number = 0
    for segment in parameters.layers:
        for index in range(len(segment["attention"]["query"])):
            attention = _wide(segment["attention"], index)
            mlp = _wide(segment["feedforward"], index)
            stream = _layer(stream, attention, mlp, number, config)
            number += 1
    table = last.get("table", embedding["table"])
    found = _norm(stream, last, "norm", config) @ table.T
    return _cap(found, config.logit_cap)


def _wide(weights, index: int | None = None) -> Weights:
    picked = {n: np.asarray(w, np.float64) for n, w in weights.items()}
    return picked if index is None else {n: w[index] for n, w in picked.items()}


def _layer(stream, attention: Weights, mlp: Weights, number: int, config: ModelConfig):
    def half(function, x, weights):
        h = _norm(x, weights, "norm", config) if config.pre_norm else x
        out = function(h, weights)
        return _norm(out, weights, "post_norm", config) if config.post_norm else out

    attended = half(lambda h, w: _attention(h, w, number, config), stream, attention)
    read = stream if config.parallel else stream + attended
    return stream + attended + half(lambda h, w: _mlp(h, w, config), read, mlp)


def _norm(x, weights: Weights, name: str, config: ModelConfig):
    if config.norm is Norm.NONE:
        return x
    if config.norm is Norm.LAYER:
        x = x - x.mean(-1, keepdims=True)
    size = np.sqrt((x**2).mean(-1, keepdims=True) + config.norm_epsilon)
    return x / size * weights[f"{name}_gain"] + weights.get(f"{name}_bias", 0)


def _attention(h, w: Weights, number: int, config: ModelConfig):
    out = np.zeros_like(h) + w.get("output_bias", 0)
    queries, keys, values = (
        np.einsum("pw,...hw->p...h", h, w[name]) + w.get(f"{name}_bias", 0)
        for name in ("query", "key", "value")
    )
    queries = _norm_heads(queries, w.get("query_norm_gain"), config)
    keys = _norm_heads(keys, w.get("key_norm_gain"), config)
    window = config.window if number in config.windowed_layers else None
    scale = config.score_scale or 1 / math.sqrt(config.head_width)
    if config.score_scale_by_layer:
        scale /= number + 1
    for kv_head in range(config.kv_heads):
        for group in range(config.group):
            for here in range(len(h)):
                first = 0 if window is None else max(0, here - window + 1)
                seen = range(first, here + 1)
                query = _turn(queries[here, kv_head, group], here, number, config)
                scores = np.array(
                    [query @ _turn(keys[k, kv_head], k, number, config) for k in seen]
                )
                shares = np.exp(_cap(scores * scale, config.score_cap))
                z = shares / shares.sum() @ values[list(seen), kv_head]
                out[here] += z @ w["output"][kv_head, group]
    return out


def _norm_heads(x, gain, config: ModelConfig):
    """Of queries or keys `[position, *heads, head_width]`."""
    if config.query_key_norm is QueryKeyNorm.NONE:
        return x
    is_each = config.query_key_norm is QueryKeyNorm.HEAD
    axes = (-1,) if is_each else tuple(range(1, x.ndim))
    mean = (x**2).mean(axes, keepdims=True)
    return x / np.sqrt(mean + config.norm_epsilon) * gain


def _turn(x, position: int, number: int, config: ModelConfig):
    """Pairs (i, i + half) as complex numbers, turned by position times frequency."""
    half = config.rotary_width // 2
    base, factor = config.rope_base, 1.0
    if config.rope_scaling is RopeScaling.LINEAR:
        factor = config.rope_factor
    if config.windowed_rope_base is not None and number in config.windowed_layers:
        base, factor = config.windowed_rope_base, 1.0
    if half == 0 or number in config.unrotated_layers:
        return x
    frequencies = base ** (-np.arange(half) / half) / factor
    turned = (x[:half] + 1j * x[half : 2 * half]) * np.exp(1j * position * frequencies)
    return np.concatenate([turned.real, turned.imag, x[2 * half :]])


def _mlp(h, w: Weights, config: ModelConfig):
    up = h @ w["up"].T + w.get("up_bias", 0)
    if config.gated:
        neurons = _activate(h @ w["gate"].T + w.get("gate_bias", 0), config) * up
    else:
        neurons = _activate(up, config)
    return neurons @ w["down"] + w.get("down_bias", 0)


def _activate(x, config: ModelConfig):
    if config.activation is Activation.RELU:
        return np.maximum(x, 0)
    if config.activation is Activation.SILU:
        return x / (1 + np.exp(-x))
    if config.activation is Activation.GELU_TANH:
        return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return x / 2 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def _cap(x, cap: float | None):
    return x if cap is None else cap * np.tanh(x / cap)
