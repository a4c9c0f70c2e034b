"""A Llama-like forward pass in plain torch, as an expert would write it for speed.

Projections that read the same input are one matrix product, and attention is torch's
own fused one.
"""

import dataclasses

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclasses.dataclass(frozen=True)
class LayerWeights:
    """One layer's weights, `[out, in]` as torch has them."""

    attention_gain: Tensor
    qkv: Tensor
    qkv_bias: Tensor | None
    output: Tensor
    mlp_gain: Tensor
    gate_up: Tensor
    down: Tensor


@dataclasses.dataclass(frozen=True)
class TorchWeights:
    """A `transformers` model's weights; `fuse` shares their memory."""

    table: Tensor
    layers: tuple[LayerWeights, ...]
    final_gain: Tensor
    unembed: Tensor
    heads: int
    kv_heads: int
    head_width: int
    epsilon: float
    frequencies: Tensor  # [half]


def fuse(model) -> TorchWeights:
    """Joins projections; the model's own weights become views of the joined ones."""
    config = model.config
    return TorchWeights(
        table=model.model.embed_tokens.weight.detach(),
        layers=tuple(_fuse_layer(layer) for layer in model.model.layers),
        final_gain=model.model.norm.weight.detach(),
        unembed=model.lm_head.weight.detach(),
        heads=config.num_attention_heads,
        kv_heads=config.num_key_value_heads,
        head_width=config.hidden_size // config.num_attention_heads,
        epsilon=config.rms_norm_eps,
        frequencies=model.model.rotary_emb.inv_freq.float(),
    )


def _fuse_layer(layer) -> LayerWeights:
    attention, mlp = layer.self_attn, layer.mlp
    qkv = (attention.q_proj, attention.k_proj, attention.v_proj)
    bias = None
    if qkv[0].bias is not None:
        bias = torch.cat([each.bias.detach() for each in qkv])
    return LayerWeights(
        attention_gain=layer.input_layernorm.weight.detach(),
        qkv=_joined(*qkv),
        qkv_bias=bias,
        output=attention.o_proj.weight.detach(),
        mlp_gain=layer.post_attention_layernorm.weight.detach(),
        gate_up=_joined(mlp.gate_proj, mlp.up_proj),
        down=mlp.down_proj.weight.detach(),
    )


def _joined(*linears) -> Tensor:
    sizes = [each.weight.shape[0] for each in linears]
    joined = torch.cat([each.weight.detach() for each in linears])
    for each, part in zip(linears, joined.split(sizes), strict=True):
        each.weight.data = part
    return joined


@torch.inference_mode()
def run_logits(weights: TorchWeights, ids: Tensor, *, kept: int = 0) -> Tensor:
    """Returns logits `[prompt, position, vocabulary]`, of the last `kept` or of all."""
    x = weights.table[ids]
    turn = rotation(weights, torch.arange(ids.shape[1]))
    for layer in weights.layers:
        q, k, v = queries_keys_values(x, layer, weights, turn)
        z = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        x = x + F.linear(z.transpose(1, 2).flatten(2), layer.output)
        x = x + feedforward(x, layer, weights)
    return F.linear(normed(x[:, -kept:], weights.final_gain, weights), weights.unembed)


def rotation(weights: TorchWeights, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Returns cosine and signed sine `[position, head_width]`."""
    angles = positions[:, None].float() * weights.frequencies
    cosine, sine = angles.cos(), angles.sin()
    return torch.cat([cosine, cosine], -1), torch.cat([-sine, sine], -1)


def queries_keys_values(x, layer: LayerWeights, weights: TorchWeights, turn):
    """Returns rotated queries and keys, and values, `[prompt, head, position, h]`."""
    qkv = F.linear(normed(x, layer.attention_gain, weights), layer.qkv, layer.qkv_bias)
    qkv = qkv.unflatten(-1, (-1, weights.head_width)).transpose(-2, -3)
    turned = weights.heads + weights.kv_heads
    qk = rotate(qkv[..., :turned, :, :], turn)
    return (
        qk[..., : weights.heads, :, :],
        qk[..., weights.heads :, :, :],
        qkv[..., turned:, :, :],
    )


def rotate(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Turns dimension i with dimension i + half."""
    cosine, sine = turn
    swapped = x.roll(x.shape[-1] // 2, -1)
    return torch.addcmul(x * cosine, swapped, sine)


def feedforward(x, layer: LayerWeights, weights: TorchWeights) -> Tensor:
    """Returns what the feed-forward block adds."""
    gate_up = F.linear(normed(x, layer.mlp_gain, weights), layer.gate_up)
    gate, up = gate_up.chunk(2, -1)
    return F.linear(F.silu(gate).mul_(up), layer.down)


def normed(x: Tensor, gain: Tensor, weights: TorchWeights) -> Tensor:
    """The RMS norm."""
    return F.rms_norm(x, gain.shape, gain, weights.epsilon)
