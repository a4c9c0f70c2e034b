"""What passes and sweeps cost in FLOPs, before they are run."""

from mcq_jax.model.config import ModelConfig
from mcq_jax.model.work import Amount


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


def work_flops(config: ModelConfig, amount: Amount) -> float:
    """Returns the FLOPs of counted work in a model of this shape."""
    no_keys, one_key = (layer_flops(config, keys=keys) for keys in (0, 1))
    return (
        amount.token_layers * no_keys
        + amount.key_layers * (one_key - no_keys)
        + amount.unembedded * unembed_flops(config)
    )


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
