"""What a norm of the reference writes when its scale is changed."""

from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")

Changed = Callable[[Any], Any]


def rescaled(module, x, out, changed: Changed):
    """A norm's output, which is its bias plus what is proportional to its scale."""
    if isinstance(module, torch.nn.LayerNorm):
        x = x - x.mean(-1, keepdim=True)
    scale = _scale(module, x)
    ratio = changed(scale) / scale
    bias = getattr(module, "bias", None)
    bias = 0 if bias is None else bias
    return (out - bias) * ratio + bias


def rescaled_heads(module, x, out, heads: int, changed: Changed):
    """The same of a norm of queries or keys, of each head or of all together.

    Args:
        changed: of scales `[row, position, head, 1]`.
    """
    scale = _scale(module, x)
    if x.ndim == 3:  # one norm over all heads, which share its scale
        scale = scale[:, :, None].expand(-1, -1, heads, -1)
    # [row, head, position] or [row, position, head]: Gemma 3 has the first.
    is_swapped = "Gemma3" in type(module).__name__
    if is_swapped:
        scale = scale.transpose(1, 2)
    ratio = changed(scale) / scale
    if is_swapped:
        ratio = ratio.transpose(1, 2)
    if x.ndim == 3:
        return (out.reshape(*out.shape[:2], heads, -1) * ratio).flatten(2)
    return out * ratio


def _scale(module, x):
    epsilon = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    return torch.rsqrt((x * x).mean(-1, keepdim=True) + epsilon)
