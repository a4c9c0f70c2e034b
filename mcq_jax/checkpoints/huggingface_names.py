"""What Hugging Face folders call their tensors, as far as families agree."""

from collections.abc import Mapping

from mcq_jax.checkpoints.conversion import UNEMBED_TABLE, Leaf, Names, StoredTensor
from mcq_jax.checkpoints.packed_tensors import QKV
from mcq_jax.checkpoints.views import View

# Haiku module, parameter, and what a layer's tensor is called.
LayerName = tuple[str, str, str]

# Of rotary positions: what the config says is computed instead.
FREQUENCIES = (
    r"((model|gpt_neox)\.)?(layers\.\d+\.(self_attn|attention)\.)?rotary_emb\.inv_freq"
)


def llama_names(
    tensors: Mapping[str, StoredTensor],
    *further: LayerName,
    views: Mapping[Leaf, View] | None = None,
) -> Names:
    """Llama's names, which most families have taken over.

    Args:
        tensors: saved without a head, their names lack the `model.` in front.
        further: names beside these, or other ones.
        views: of parameters that their tensor does not hold as they are.
    """
    start = "" if "embed_tokens.weight" in tensors else "model."
    stored = {
        ("embed", "~", "table"): start + "embed_tokens.weight",
        ("unembed", "~", "norm_gain"): start + "norm.weight",
        UNEMBED_TABLE: "lm_head.weight",
    } | in_layers(*_LLAMA, *further, start=start + "layers.{layer}.")
    return Names(stored=stored, views=views or {}, ignored=(FREQUENCIES,))


def in_layers(*names: LayerName, start: str) -> dict[Leaf, str]:
    """The names of layers' tensors, `start` with its "{layer}" in front of each."""
    return {("layers", module, name): start + stored for module, name, stored in names}


def with_bias(module: str, name: str, stored: str) -> list[LayerName]:
    """A projection with its bias."""
    return [
        (module, name, f"{stored}.weight"),
        (module, f"{name}_bias", f"{stored}.bias"),
    ]


def packed(stored: str) -> list[LayerName]:
    """Queries, keys and values that are one tensor, with their biases."""
    return [each for name in QKV for each in with_bias("attention", name, stored)]


def layer_norms(attention: str, feedforward: str) -> list[LayerName]:
    """The layer norms in front of both blocks."""
    return [
        (module, f"norm_{ours}", f"{stored}.{theirs}")
        for module, stored in (("attention", attention), ("feedforward", feedforward))
        for ours, theirs in (("gain", "weight"), ("bias", "bias"))
    ]


_LLAMA = (
    ("attention", "norm_gain", "input_layernorm.weight"),
    *with_bias("attention", "query", "self_attn.q_proj"),
    *with_bias("attention", "key", "self_attn.k_proj"),
    *with_bias("attention", "value", "self_attn.v_proj"),
    ("attention", "query_norm_gain", "self_attn.q_norm.weight"),
    ("attention", "key_norm_gain", "self_attn.k_norm.weight"),
    *with_bias("attention", "output", "self_attn.o_proj"),
    ("feedforward", "norm_gain", "post_attention_layernorm.weight"),
    *with_bias("feedforward", "gate", "mlp.gate_proj"),
    *with_bias("feedforward", "up", "mlp.up_proj"),
    *with_bias("feedforward", "down", "mlp.down_proj"),
)
