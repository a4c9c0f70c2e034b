"""What every family of `transformers` calls the parts of a model."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Names:
    """What a family calls its modules; those of a layer are relative to it."""

    layers: str = "model.layers"
    final: str = "model.norm"
    before: str | None = "input_layernorm"
    attention: str = "self_attn"
    # How queries, keys and values come: apart, "joined", or "by head".
    projections: str = "apart"
    fused: str = ""
    out: str = "self_attn.o_proj"
    behind: str | None = None
    before_mlp: str | None = "post_attention_layernorm"
    gate: str | None = "mlp.gate_proj"
    up: str = "mlp.up_proj"
    down: str = "mlp.down_proj"
    behind_mlp: str | None = None
    normed_heads: bool = False


_LLAMA = Names()
_GEMMA2 = Names(
    behind="post_attention_layernorm",
    before_mlp="pre_feedforward_layernorm",
    behind_mlp="post_feedforward_layernorm",
)
NAMES = {
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": Names(normed_heads=True),
    "smollm3": _LLAMA,
    "olmo2": Names(
        before=None,
        behind="post_attention_layernorm",
        before_mlp=None,
        behind_mlp="post_feedforward_layernorm",
        normed_heads=True,
    ),
    "phi3": Names(
        projections="joined",
        fused="self_attn.qkv_proj",
        gate=None,
        up="mlp.gate_up_proj",
    ),
    "gemma": _LLAMA,
    "gemma2": _GEMMA2,
    "gemma3": dataclasses.replace(_GEMMA2, normed_heads=True),
    "gpt2": Names(
        layers="transformer.h", final="transformer.ln_f", before="ln_1",
        attention="attn", projections="joined", fused="attn.c_attn",
        out="attn.c_proj", before_mlp="ln_2", gate=None, up="mlp.c_fc",
        down="mlp.c_proj",
    ),
    "gpt_neox": Names(
        layers="gpt_neox.layers", final="gpt_neox.final_layer_norm",
        attention="attention", projections="by head",
        fused="attention.query_key_value", out="attention.dense", gate=None,
        up="mlp.dense_h_to_4h", down="mlp.dense_4h_to_h",
    ),
}  # fmt: skip
