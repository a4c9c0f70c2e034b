"""What heads attend to in texts that ask nothing."""

import dataclasses

from mcq_jax.metrics import Interval


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeadElsewhere:
    """One head on texts of one kind."""

    name: str
    layer: int
    head: int
    kind: str
    # Named as a correct-letter head by multiple-choice questions.
    is_letter_head: bool
    # Share of a later token's attention on enumerators; on as many other tokens.
    share: Interval
    control: Interval
    excess: Interval
    # Share of its layer's other heads with a smaller excess.
    percentile: float
    # Adjusted over all heads.
    p_value: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class KindElsewhere:
    """Texts of one kind, and how the named heads rank there."""

    kind: str
    texts: int
    # Mean excess, [layer][head].
    excess: tuple[tuple[float, ...], ...]
    # Of the named heads, within their layers; None without named heads.
    percentile: float | None
    p_value: float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenShown:
    """A token of an example, and the attention that it gets there."""

    text: str
    received: float
    is_enumerator: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextShown:
    """A text drawn by the seed, as one head sees it."""

    kind: str
    head: str
    tokens: tuple[TokenShown, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ElsewhereFindings:
    """Do heads look at enumerators where no question is asked?"""

    # Where the texts are from.
    source: str
    kinds: tuple[KindElsewhere, ...]
    # The named heads, and of all heads those with the largest excess.
    heads: tuple[HeadElsewhere, ...]
    examples: tuple[TextShown, ...]
    letter_heads: tuple[str, ...]
    # Texts left out: longer than asked for.
    left_out: int
    # The p-value below which named heads count as looking there; as the card had it.
    level: float | None = None
