"""The sweep as an expert would write it in torch: the contender that matters most.

One pass over the prompts keeps keys and values, which all rows then share. A row is
the answer token under one patch. In the layer where it is born only what the patch
changes is computed: a head's share of the attention output, then the feed-forward
block; a patched feed-forward block costs one sum. All rows of all earlier layers go on
together in one token pass, so that each weight is read once and every projection is one
large matrix product. Only the answers are unembedded.
"""

import dataclasses

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.peers import torch_layers
from benchmarks.peers.task import Contender, Task
from benchmarks.peers.torch_layers import LayerWeights, TorchWeights


@dataclasses.dataclass(frozen=True)
class Start:
    """What a pass over the prompts leaves, by layer; `mid` is behind attention."""

    keys: list[Tensor]  # [prompt * kv_head, key, h]
    values: list[Tensor]
    z: Tensor  # [layer, prompt, head, h], at the answer position
    mid: Tensor  # [layer, prompt, width]
    mlp: Tensor  # [layer, prompt, width]


@torch.inference_mode()
def run_prompts(weights: TorchWeights, ids: Tensor) -> Start:
    """Runs prompts `[prompt, position]` of one length."""
    x = weights.table[ids]
    turn = torch_layers.rotation(weights, torch.arange(ids.shape[1]))
    keys, values, z, mid, mlp = [], [], [], [], []
    for layer in weights.layers:
        q, k, v = torch_layers.queries_keys_values(x, layer, weights, turn)
        read = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        x = x + F.linear(read.transpose(1, 2).flatten(2), layer.output)
        out = torch_layers.feedforward(x, layer, weights)
        keys.append(k.flatten(0, 1).contiguous())
        values.append(v.flatten(0, 1).contiguous())
        z.append(read[:, :, -1])
        mid.append(x[:, -1])
        mlp.append(out[:, -1])
        x = x + out
    return Start(keys, values, torch.stack(z), torch.stack(mid), torch.stack(mlp))


@torch.inference_mode()
def sweep(weights: TorchWeights, start: Start, sources: Start, answers: Tensor):
    """Returns answer logits `[prompt, row, choice]`; rows layer by layer, heads first.

    Args:
        sources: a pass over each prompt's source.
        answers: token ids `[prompt, choice]`.
    """
    tokens = start.keys[0].shape[1]
    turn = torch_layers.rotation(weights, torch.tensor([tokens - 1]))
    prompts, width = start.mid.shape[1:]
    heads = weights.heads
    rows = len(weights.layers) * (heads + 1)
    # Rows come first, so that those alive are one contiguous block.
    x = torch.empty(rows, prompts, width)
    alive = 0
    for index, layer in enumerate(weights.layers):
        born = x[alive : alive + heads + 1]
        changed = sources.z[index] - start.z[index]
        born[:heads] = _head_outputs(changed, layer.output)
        born[:heads] += start.mid[index]
        torch.add(start.mid[index], sources.mlp[index], out=born[heads])
        if alive:
            old = x[:alive]
            keys, values = start.keys[index], start.values[index]
            z = _attend(old, layer, weights, keys, values, turn)
            _add_product(old, z, layer.output)
        run = x[: alive + heads]
        _add_feedforward(run, layer, weights)
        alive += heads + 1
    final = torch_layers.normed(x, weights.final_gain, weights)
    return torch.einsum("rpw,pcw->prc", final, weights.unembed[answers])


def _head_outputs(z: Tensor, output: Tensor) -> Tensor:
    """Each head's own part of the attention output: `[head, prompt, width]`."""
    by_head = output.unflatten(1, (-1, z.shape[-1])).permute(1, 2, 0)
    return torch.bmm(z.transpose(0, 1), by_head)


def _attend(x, layer: LayerWeights, weights: TorchWeights, keys, values, turn):
    """Returns what rows `[row, prompt, width]` read, `[row, prompt, head * h]`.

    The prompt's keys end with its own answer token, in whose place a row has its own
    key and value: its score is put in, and the difference of the values added.
    """
    rows, prompts, _ = x.shape
    kv_heads, group = weights.kv_heads, weights.heads // weights.kv_heads
    h = torch_layers.normed(x, layer.attention_gain, weights)
    qkv = F.linear(h, layer.qkv, layer.qkv_bias).unflatten(-1, (-1, weights.head_width))
    turned = weights.heads + kv_heads
    qk = torch_layers.rotate(qkv[:, :, :turned], turn)
    q = qk[:, :, : weights.heads].unflatten(2, (kv_heads, group))
    own_key, own_value = qk[:, :, weights.heads :], qkv[:, :, turned:]

    scale = weights.head_width**-0.5
    own_score = torch.einsum("rpkgh,rpkh->pkrg", q, own_key).flatten(0, 1)
    q = q.permute(1, 2, 0, 3, 4).reshape(prompts * kv_heads, rows * group, -1)
    scores = torch.baddbmm(
        q.new_empty(()), q, keys.transpose(1, 2), beta=0, alpha=scale
    )
    scores[:, :, -1] = own_score.flatten(1) * scale
    pattern = scores.softmax(-1)
    z = torch.bmm(pattern, values).view(prompts, kv_heads, rows, group, -1)
    last = values[:, -1].view(prompts, kv_heads, -1)
    difference = (own_value - last).permute(1, 2, 0, 3)[:, :, :, None]
    share = pattern[:, :, -1].reshape(prompts, kv_heads, rows, group, 1)
    z = torch.addcmul(z, share, difference)
    return z.permute(2, 0, 1, 3, 4).flatten(2)


def _add_product(x: Tensor, z: Tensor, weight: Tensor) -> None:
    """x += z @ weight.T, in place."""
    x.flatten(0, 1).addmm_(z.flatten(0, 1), weight.t())


def _add_feedforward(x: Tensor, layer: LayerWeights, weights: TorchWeights) -> None:
    h = torch_layers.normed(x, layer.mlp_gain, weights)
    gate, up = F.linear(h, layer.gate_up).chunk(2, -1)
    _add_product(x, F.silu(gate).mul_(up), layer.down)


def contender(task: Task) -> Contender:
    """The whole sweep, all prompts together."""
    weights = torch_layers.fuse(task.twins.torch_model)
    ids, source_ids = torch.from_numpy(task.ids), torch.from_numpy(task.source_ids)
    answers = torch.from_numpy(task.answer_ids)
    start, sources = run_prompts(weights, ids), run_prompts(weights, source_ids)
    return Contender(
        name="best-effort torch",
        sweep=lambda: sweep(weights, start, sources, answers).numpy(),
        nodes=task.nodes,
        prompts=len(ids),
        prompt_pass=lambda: run_prompts(weights, ids),
        rival="best",
    )
