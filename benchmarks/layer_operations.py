"""Which operation of a layer takes how long, in XLA and in torch?

    python -m benchmarks.layer_operations [--shape 135M 1.5B] [--tokens 50 150 512]

The operations of one layer of a Llama-like model, each compiled by itself as our layer
writes it, beside its torch counterpart, float32, one prompt. It tells where to look
when `plain_forward.py` is slower than torch. Needs the peers extra.
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.side_by_side import race, use_cores
from mcq_jax.model.arithmetic import contract
from mcq_jax.model.positions import rotate

# Width, key/value heads, query heads of each, head width, neurons.
SHAPES = {"135M": (576, 3, 3, 64, 1536), "1.5B": (1536, 2, 6, 128, 8960)}


def main() -> None:
    """Prints one table per shape and prompt length."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--tokens", type=int, nargs="+", default=[50, 150, 512])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--cores", type=int, default=2)
    asked = parser.parse_args()
    use_cores(asked.cores)
    for shape in asked.shape:
        for tokens in asked.tokens:
            _print_operations(shape, tokens, asked.rounds)


def _print_operations(shape: str, tokens: int, rounds: int) -> None:
    print(f"\n{shape}, {tokens} tokens: median ms (best)")
    print("                        XLA             torch         XLA / torch   MFLOP")
    for name, flops, arrays, ours, theirs in _operations(*SHAPES[shape], tokens):
        compiled = jax.jit(ours)
        left = [jnp.asarray(a) for a in arrays]
        right = [torch.from_numpy(a) for a in arrays]
        times = race(
            {
                "XLA": lambda: jax.block_until_ready(compiled(*left)),  # noqa: B023
                "torch": lambda: theirs(*right),  # noqa: B023
            },
            rounds,
        )
        one, other = times.values()
        print(
            f"  {name:16s} {1e3 * one.median:8.3f} ({1e3 * one.best:7.3f})  "
            f"{1e3 * other.median:8.3f} ({1e3 * other.best:7.3f})   "
            f"{one.median / other.median:4.2f} ({one.best / other.best:4.2f})  "
            f"{flops / 1e6:7.1f}",
            flush=True,
        )


@torch.inference_mode()
def _product(x, weight):
    return x @ weight


def _operations(width, kv_heads, group, head, neurons, tokens):
    """Yields name, FLOPs, arrays, our function, the torch function."""
    rng = np.random.default_rng(0)

    def draw(*shape):
        return rng.normal(size=shape).astype(np.float32)

    def ours(x, weight):
        return contract("qw,wf->qf", x, weight)

    heads = kv_heads * group
    products = {
        "query, output": (width, heads * head),
        "key, value": (width, kv_heads * head),
        "gate, up": (width, neurons),
        "down": (neurons, width),
    }
    for name, (rows, columns) in products.items():
        arrays = (draw(tokens, rows), draw(rows, columns))
        yield name, 2 * tokens * rows * columns, arrays, ours, _product

    x, gain = draw(tokens, width), draw(width)
    yield "norm", 4 * x.size, (x, gain), _our_norm, _torch_norm
    q = draw(tokens, kv_heads, group, head)
    yield "rotation", 6 * q.size, (q,), _our_rotation, _torch_rotation
    k, v = draw(tokens, kv_heads, head), draw(tokens, kv_heads, head)
    flops = 2 * q.size * tokens
    yield "scores", flops, (q, k), _our_scores, _torch_scores
    s = draw(kv_heads, group, tokens, tokens)
    yield "mask, softmax", 5 * s.size, (s,), _our_softmax, _torch_softmax
    yield "read", flops, (s, v), _our_read, _torch_read
    yield "attention", 2 * flops, (q, k, v), _our_attention, _torch_attention
    gate, up = draw(tokens, neurons), draw(tokens, neurons)
    yield "silu, product", 5 * gate.size, (gate, up), _our_gating, _torch_gating


def _our_norm(x, gain):
    scale = jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-6)
    return x * scale * gain[None]


def _torch_norm(x, gain):
    return F.rms_norm(x, gain.shape, gain, 1e-6)


def _frequencies(head):
    return 10_000.0 ** -(np.arange(0, head, 2) / head).astype(np.float32)


def _our_rotation(q):
    return rotate(q, jnp.arange(q.shape[0]), _frequencies(q.shape[-1]))


def _torch_rotation(q):
    angles = torch.arange(q.shape[0])[:, None] * torch.from_numpy(
        _frequencies(q.shape[-1])
    )
    cosine, sine = angles.cos()[:, None, None], angles.sin()[:, None, None]
    first, second = q.chunk(2, -1)
    turned = (first * cosine - second * sine, second * cosine + first * sine)
    return torch.cat(turned, -1)


def _our_scores(q, k):
    return contract("qkgh,skh->kgqs", q, k)


def _torch_scores(q, k):
    tokens, kv_heads, group, head = q.shape
    rows = q.permute(1, 2, 0, 3).reshape(kv_heads, group * tokens, head)
    return torch.bmm(rows, k.permute(1, 2, 0)).view(kv_heads, group, tokens, -1)


def _our_softmax(s):
    is_readable = jnp.tril(jnp.ones(s.shape[-2:], bool))
    return jax.nn.softmax(jnp.where(is_readable[None, None], s, -jnp.inf), -1)


def _torch_softmax(s):
    beyond = torch.ones(s.shape[-2:], dtype=torch.bool).triu(1)
    return s.masked_fill(beyond, -torch.inf).softmax(-1)


def _our_read(pattern, v):
    return contract("kgqs,skh->qkgh", pattern, v)


def _torch_read(pattern, v):
    kv_heads, group, tokens, _ = pattern.shape
    z = torch.bmm(pattern.flatten(1, 2), v.transpose(0, 1))
    return z.view(kv_heads, group, tokens, -1).permute(2, 0, 1, 3).contiguous()


def _our_attention(q, k, v):
    return _our_read(_our_softmax(_our_scores(q, k) * q.shape[-1] ** -0.5), v)


def _torch_attention(q, k, v):
    q = q.flatten(1, 2).transpose(0, 1)[None]
    k, v = k.transpose(0, 1)[None], v.transpose(0, 1)[None]
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)


def _our_gating(gate, up):
    return jax.nn.silu(gate) * up


def _torch_gating(gate, up):
    return F.silu(gate).mul_(up)


if __name__ == "__main__":
    main()
