"""Which prompt each one is patched from: rotation, other, placebo, or a pair's own."""

import dataclasses
import enum
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int, Shaped

from mcq_jax.prompts import TokenisedPair, TokenisedPrompt


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sources:
    """For every prompt one source of each kind; the first kind is the headline one.

    rotation: the same question with its options in another order (so another gold);
    other: another question with another gold; placebo: another question with the same
    gold. Together they separate nodes that carry content from nodes that point.
    """

    kinds: tuple[str, ...]
    index: Int[np.ndarray, "prompt kind"]

    def first_kind(self) -> "Sources":
        """Returns the headline sources alone."""
        return Sources(kinds=self.kinds[:1], index=self.index[:, :1])

    @classmethod
    def of_pairs(cls, count: int) -> "Sources":
        """Returns the sources of so many prompts, which follow in the same order."""
        return cls(kinds=("pair",), index=count + np.arange(count)[:, None])


class Ablation(enum.Enum):
    """Sources that are no prompt."""

    ZERO = "zeros"
    MEAN = "the mean over all prompts, position by position from the end"

    @property
    def kinds(self) -> tuple[str, ...]:
        """The one kind of source that this is, as `Sources.kinds`."""
        return (self.name.lower(),)


class Direction(enum.Enum):
    """Which of a prompt and its source is patched with what the other holds."""

    NOISE = "the prompt, from its source: is the node needed?"
    DENOISE = "the source, from the prompt: does the node suffice?"


def prompts_of_pairs(
    pairs: Sequence[TokenisedPair],
) -> tuple[tuple[TokenisedPrompt, ...], Sources]:
    """Returns the prompts of a sweep over pairs, and whom each is patched from.

    The prompts are all clean ones, then their sources in the same order.
    """
    clean = tuple(pair.clean for pair in pairs)
    others = tuple(pair.source for pair in pairs)
    return clean + others, Sources.of_pairs(len(pairs))


def choose_sources(
    question: Shaped[np.ndarray, " prompt"],
    gold: Int[np.ndarray, " prompt"],
    choosing: Bool[np.ndarray, " prompt"],
    *,
    seed: int,
) -> Sources:
    """Draws sources among the prompts themselves, never across the two splits."""
    same_question = question[:, None] == question[None]
    same_gold = gold[:, None] == gold[None]
    same_split = choosing[:, None] == choosing[None]
    pools = {
        "rotation": same_question & ~same_gold,
        "other": ~same_question & ~same_gold & same_split,
        "placebo": ~same_question & same_gold & same_split,
    }
    if not pools["rotation"].any(axis=1).all():
        del pools["rotation"]
    for kind, pool in pools.items():
        bare = np.flatnonzero(~pool.any(axis=1))
        if len(bare):
            raise ValueError(
                f"{len(bare)} of {len(gold)} prompts have no source of kind {kind!r} "
                "among the prompts of their split; use more questions."
            )
    generator = np.random.default_rng(seed)
    drawn = [
        [generator.choice(np.flatnonzero(row)) for row in pool]
        for pool in pools.values()
    ]
    return Sources(kinds=tuple(pools), index=np.stack(drawn, axis=1))
