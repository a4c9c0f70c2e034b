"""Stored tensors that hold several of our parameters, such as queries and keys."""

from collections.abc import Sequence

from mcq_jax.checkpoints.conversion import Leaf
from mcq_jax.checkpoints.views import View, one_after_another
from mcq_jax.model import ModelConfig

# In the order in which they are packed.
QKV = ("query", "key", "value")
QKV_LEAVES: tuple[Leaf, ...] = tuple(("layers", "attention", name) for name in QKV)
GATE: Leaf = ("layers", "feedforward", "gate")
UP: Leaf = ("layers", "feedforward", "up")


def heads_in_a_row(config: ModelConfig) -> list[View]:
    """Views of queries, keys and values that follow one another, all heads of each."""
    keys = config.kv_heads * config.head_width
    return one_after_another(config.heads * config.head_width, keys, keys)


def views_with_biases(
    parts: Sequence[View], *, is_turned: bool = False
) -> dict[Leaf, View]:
    """The views of packed matrices and of their biases, which are packed alike.

    Args:
        is_turned: matrices are stored as [input, output].
    """
    views = {}
    for (*place, name), part in zip(QKV_LEAVES, parts, strict=True):
        matrix = View(outputs=part.outputs, of=part.of, is_turned=is_turned)
        views[*place, name] = matrix
        views[*place, f"{name}_bias"] = part
    return views
