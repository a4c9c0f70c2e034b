"""What was found of the content's way to the answer, and of a circuit drawn of it."""

import dataclasses

from mcq_jax.metrics import Interval


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpanFound:
    """Some tokens' residual stream taken from another prompt, in front of a layer."""

    tokens: str
    layer: int
    # Of the effect of another order of the options, the share that goes along; of a
    # placebo too. None: no placebo is aligned.
    rotation: Interval
    placebo: Interval | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class SweepFound:
    """Spans by layers, for one set of prompts."""

    prompts: str
    difference: Interval
    spans: tuple[SpanFound, ...]
    # Prompts whose tokens no other order is aligned with.
    left_out: int
    refused: str = ""
    # Kinds of tokens without rows: some prompt has none, such as a label that is the
    # first of all tokens, and so of no kind.
    absent: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class GathererFound:
    """A head that looks at option ends of the right line more than at those of others.

    Chosen on the fitting questions; everything here is of the others.
    """

    name: str
    # From which of the last tokens, -1 the answer position.
    token: int
    # Attention to the right line's end, and to another line's.
    right: Interval
    wrong: Interval
    # At the answer position, in logits; None where nodes were not patched.
    direct: Interval | None
    total: Interval | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ContentRouteFindings:
    """From which tokens, over which, and in which layers does the content come?"""

    sweeps: tuple[SweepFound, ...]
    gatherers: tuple[GathererFound, ...]
    # Heads that pass the same rule with another line taken for the right one, on
    # average over these lines.
    by_chance: float
    questions: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class PathFound:
    """Nodes whose output reaches inputs of the correct-letter heads from a source."""

    senders: str
    size: int
    # "queries" or "label keys".
    into: str
    # In the heads' score contrast, as a share of what all nodes do to it on this way;
    # None where that may be 0. In net logits, as a share of the whole effect.
    score: Interval | None
    net: Interval | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class DrawnEdge:
    """One edge of the circuit, and what it does alone, as a share of the effect."""

    edge: str
    # Taken from the source in the prompt's run; brought from the prompt into the
    # source's.
    noised: float
    denoised: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class DrawnFound:
    """Some edges carry the news and all others are resampled, on held-out questions."""

    # "drawn", "next_best", "random", "random_paths", "every edge"
    kind: str
    # Edges; of random ones, in the first draw.
    size: int
    sufficiency: Interval | None
    necessity: Interval | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class DrawnCircuitFindings:
    """The circuit as one hypothesis."""

    letter_heads: tuple[str, ...]
    # What each candidate is in the drawing.
    roles: dict[str, str]
    # Edges there could be among these nodes and kinds of tokens.
    candidates: int
    # Share asked of what all candidates recover, on the fitting questions; reached.
    share: float
    questions: int
    held_out_questions: int
    reached: float = 0.0
    paths: tuple[PathFound, ...] = ()
    edges: tuple[DrawnEdge, ...] = ()
    sets: tuple[DrawnFound, ...] = ()
    # What the score contrast loses when the outputs of all nodes reach the queries, or
    # the label keys, from the source.
    contrast: dict[str, Interval] = dataclasses.field(default_factory=dict)
    # Why nothing was drawn; empty where it was.
    refused: str = ""
