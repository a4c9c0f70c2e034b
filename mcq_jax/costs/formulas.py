"""What passes and sweeps cost, in FLOPs and bytes, before they are run."""

from mcq_jax.model.config import ModelConfig


def layer_flops(config: ModelConfig, *, keys: int) -> float:
    """Returns the FLOPs of one token through one layer, reading `keys` keys.

    Relative positions read every distance as if it were a second key; their
    projection, which all rows and tokens share, is left out.
    """
    heads = config.heads * config.head_width
    projections = config.width * (2 * heads + 2 * config.kv_heads * config.head_width)
    attention = (3 if config.relative_positions else 2) * keys * heads
    feedforward = (3 if config.gated else 2) * config.width * config.neurons
    return 2.0 * (projections + attention + feedforward)


def unembed_flops(config: ModelConfig) -> float:
    """Returns the FLOPs of one token's logits over the whole vocabulary."""
    return 2.0 * config.width * config.vocabulary


def prefill_flops(config: ModelConfig, *, tokens: int) -> float:
    """Returns the FLOPs of a pass over one prompt, half the keys read on average."""
    return tokens * config.layers * layer_flops(config, keys=tokens // 2)


def node_sweep_flops(config: ModelConfig, *, tokens: int, sources: int) -> float:
    """Returns the FLOPs of patching every node at one prompt's answer position.

    A node of layer l runs through the L - l layers from its own on: n (L + 1) / 2
    layer passes of one token for n nodes per layer, per layer of the model.
    """
    rows = config.nodes * sources
    row_layers = rows * config.layers * (config.layers + 1) / 2
    unembedded = rows * config.layers * unembed_flops(config)
    return row_layers * layer_flops(config, keys=tokens) + unembedded


def prompt_pass_bytes(config: ModelConfig, *, prompts: int, tokens: int) -> float:
    """Returns the float32 bytes of a pass that keeps every layer's keys and values.

    Where prompts begin alike, the pass has fewer temporaries and holds the beginnings
    beside what is joined of them: never more than all keys and values twice.
    """
    kept = 2 * config.layers * config.kv_heads * config.head_width
    besides = max(_temporaries(config, keys=tokens), kept)
    return 4.0 * prompts * tokens * (kept + besides)


def node_sweep_bytes(config: ModelConfig, *, rows: int, tokens: int) -> float:
    """Returns the float32 bytes of advancing `rows` rows through one layer."""
    return 4.0 * rows * _temporaries(config, keys=tokens)


def _temporaries(config: ModelConfig, *, keys: int) -> int:
    """Numbers alive at once for one token in one layer, rounded up.

    Residual and its copies, neurons with gate and product, scores and pattern (and
    scores by distance); about a third more than the compiler was seen to take for a
    1.5B model.
    """
    scores = (3 if config.relative_positions else 2) * config.heads * keys
    return 6 * config.width + 3 * config.neurons + scores
