"""What the feed-forward blocks of the chosen set do, and through whom."""

import dataclasses

from mcq_jax.metrics import Interval


@dataclasses.dataclass(frozen=True, kw_only=True)
class BlockFound:
    """One feed-forward block of the chosen set, on held-out questions."""

    name: str
    # Direct effect on each answer, gold letter × answer letter, centred, in logits.
    gold_by_answer: tuple[tuple[float, ...], ...]
    # Per letter: what it gains by being right; and the mean over letters.
    gains: tuple[Interval, ...]
    selectivity: Interval
    # "correct-letter-like", "letter-specific", "a bias", "undecided".
    kind: str
    # Net direct effect, and the share of it that the best neurons have; the same of as
    # many random ones.
    direct: Interval
    neurons: int
    # Empty where single neurons do not add up: with a norm behind the block.
    top_neurons: tuple[int, ...] = ()
    top_share: Interval | None = None
    random_share: Interval | None = None
    # How many of the best together come within a fifth of the block's effect, on
    # fitting questions.
    neurons_for_most: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class MediationFound:
    """What some nodes do while others are resampled, or held as they are.

    Shares of what they do with the others free, on held-out questions.
    """

    # "feed-forward blocks", "heads"; the others, or "random heads" and so on.
    who: str
    others: str
    # Net direct effect that is left with the others resampled.
    direct_left: Interval | None
    # Total effect that is left with the others resampled (what both do less what the
    # others do), and with the others held at the prompt's own values.
    total_resampled: Interval | None
    total_held: Interval | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class FeedForwardFindings:
    """Are the chosen feed-forward blocks nodes of their own, or amplifiers of heads?"""

    blocks: tuple[BlockFound, ...]
    mediation: tuple[MediationFound, ...]
    # Net direct and total effect of the blocks, and of the heads, as sets.
    direct: dict[str, Interval]
    total: dict[str, Interval]
    heads: tuple[str, ...]
    questions: int
    held_out_questions: int
    refused: str = ""
