"""Does a head look at enumerators more than at the other tokens of their items?

The null: which of an item's tokens is its enumerator makes no difference. A draw names
one token of every item, the enumerator among them, in all texts at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Num

from mcq_jax.arguments import require_finite

# Attention below this is rounding: a head that never looks has no excess.
_ROUNDING = 1e-7


@dataclass(frozen=True, kw_only=True)
class EnumeratorAttention:
    """Attention of every head on enumerators, by text, and against the null."""

    # Share of a later token's attention on the enumerators, and on as many other
    # tokens, one of each item.
    share: Float[np.ndarray, "text head"]
    control: Float[np.ndarray, "text head"]
    # The chance of an excess as large (in standard deviations of the null) among all
    # heads.
    p_value: Float[np.ndarray, " head"]


def enumerator_attention(
    received: Sequence[Num[np.ndarray, "head _"]],
    items: Sequence[Sequence[Int[np.ndarray, "_"]]],
    *,
    draws: int = 500,
    seed: int = 0,
) -> EnumeratorAttention:
    """Returns every head's attention on enumerators, over some texts.

    Args:
        received: of each text, the attention that its tokens get, as
            `passes.attention_received` has it.
        items: of each text the tokens of every item, its enumerator first. Items of a
            single token say nothing, and are left out of both shares.
    """
    if not received:
        raise ValueError("no texts; give at least one.")
    generator = np.random.default_rng(seed)
    share, control = [], []
    null = np.zeros((draws, len(received[0])))
    for number, (mine, every) in enumerate(zip(received, items, strict=True)):
        told = [item for item in every if len(item) > 1]
        if not told:
            raise ValueError(
                f"no item of text {number} has a token besides its enumerator; leave "
                "it out."
            )
        mine = np.asarray(mine, np.float64)
        share.append(sum(mine[:, item[0]] for item in told))
        control.append(sum(mine[:, item[1:]].mean(axis=1) for item in told))
        for item in told:
            null += mine[:, item[generator.integers(len(item), size=draws)]].T
    share, control = np.array(share), np.array(control)
    null /= len(received)
    centre, spread = null.mean(axis=0), np.maximum(null.std(axis=0), _ROUNDING)
    largest = ((null - centre) / spread).max(axis=1)
    found = (share.mean(axis=0) - centre) / spread
    counts = (largest[:, None] >= found[None] - 1e-9).sum(axis=0)
    return EnumeratorAttention(
        share=share, control=control, p_value=(1 + counts) / (1 + draws)
    )


def percentiles(
    excess: Num[np.ndarray, "layer head"],
) -> Float[np.ndarray, "layer head"]:
    """Returns the share of the layer's other heads that are below each, ties half."""
    require_finite(excess, "excess attention")
    below = (excess[:, None] < excess[:, :, None]).sum(axis=2)
    ties = (excess[:, None] == excess[:, :, None]).sum(axis=2) - 1
    return (below + ties / 2) / max(excess.shape[1] - 1, 1)


def group_percentile(
    percentile: Float[np.ndarray, "layer head"],
    heads: Sequence[tuple[int, int]],
    *,
    draws: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Returns the mean percentile of some heads, and its p-value.

    The null: as many heads of each of their layers, drawn without replacement.
    """
    if not heads:
        raise ValueError("no heads; name at least one.")
    require_finite(percentile, "percentiles of heads")
    found = float(np.mean([percentile[head] for head in heads]))
    generator = np.random.default_rng(seed)
    layers, counts = np.unique([layer for layer, _ in heads], return_counts=True)
    total = np.zeros(draws)
    for layer, count in zip(layers, counts, strict=True):
        drawn = generator.permuted(np.tile(percentile[layer], (draws, 1)), axis=1)[
            :, :count
        ]
        total += drawn.sum(axis=1)
    as_high = (total / len(heads) >= found - 1e-9).sum()
    return found, float((1 + as_high) / (1 + draws))
