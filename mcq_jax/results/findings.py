"""What each experiment found: numbers and short texts with their intervals.

One class per experiment, one file `findings/<experiment>.json` each; the tables beside
it hold the values per question from which they come. A field that came later has a
default, so that an older file still opens: None means "was not measured".
"""

import dataclasses

from mcq_jax.metrics import Gate, Interval


@dataclasses.dataclass(frozen=True, kw_only=True)
class About:
    """What was asked, of which model: of the run as a whole."""

    title: str
    model: str
    model_hash: str
    layers: int
    heads: int
    questions_from: str
    template: str
    example_prompt: str
    labels: tuple[str, ...]
    # Prompts in all, questions they come from, rotations of each.
    prompts: int
    questions: int
    shots: int
    dtype: str
    device: str
    seed: int
    # Whether pairs of prompts were asked, which have no labels.
    are_pairs: bool = False
    # Questions left out for their length.
    left_out: int = 0
    # Sentences on other questions that were left out or are missing.
    notes: tuple[str, ...] = ()
    # Whether only questions right in every rotation were studied.
    filters: bool = True
    # Per number of the model's matrices, on disk or as they are kept; None: not known.
    weight_bits: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class BehaviourFindings:
    """Does the model do the task, and by which part of the loss."""

    accuracy: Interval
    prior_corrected_accuracy: Interval
    consistent_accuracy: Interval
    net_logit: Interval
    loss: Interval
    loss_outside: Interval
    loss_inside: Interval
    answer_mass: Interval
    accuracy_by_gold: tuple[float, ...]
    share_by_letter: tuple[float, ...]
    letter_prior: tuple[float, ...]
    # Mean centred logit, gold letter × letter: its diagonal is what binding looks like.
    gold_by_letter: tuple[tuple[float, ...], ...]
    # Questions right in every rotation after subtracting the letter prior.
    kept_questions: int
    gate: Gate
    # Whether there were enough of them for both halves.
    enough_questions: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class NodeFound:
    """One head or feed-forward block; effects by kind of source, in logits."""

    name: str
    layer: int
    head: int  # -1 for the feed-forward block
    direct: dict[str, Interval]
    total: dict[str, Interval]
    # Change of the loss under rotation sources, and its two parts, in nats.
    loss: Interval
    loss_outside: Interval
    loss_inside: Interval
    # The three readings of gold letter × answer letter contributions, logits.
    promotion: float
    letter_prior: tuple[float, ...]
    selectivity: float
    # Of the direct effect under rotation sources, adjusted over all nodes.
    p_value: float
    # Of other experiments, joined where findings are read together (`RunResults`).
    selected: bool = False
    head_class: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class NodeEffectsFindings:
    """What every head and feed-forward block does, directly and in total."""

    nodes: tuple[NodeFound, ...]
    # Largest |sum of contributions - logit| over prompts and answers.
    conservation_error: float
    questions: int
    prompts: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class SelectionFound:
    """The set: chosen on one split of the questions by direct effect."""

    nodes: tuple[str, ...]
    share: float
    reached: float
    is_reached: bool
    questions: int
    held_out_questions: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class JointFound:
    """One set patched as a whole, on held-out questions; 1 is complete recovery."""

    # "selected", "next_best", "random", "all", "cumulative"
    kind: str
    size: int
    # None with a reason where the denominator's interval includes 0.
    sufficiency: Interval | None
    necessity: Interval | None
    refused: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScreenedFound:
    """One of two sets patched while the other is kept at the patched run's values."""

    # Shares of the whole effect, as in `JointFound`.
    sufficiency: Interval | None
    necessity: Interval | None
    # Shares of what the set does with the other free. None: its interval includes 0.
    sufficiency_left: Interval | None
    necessity_left: Interval | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScreeningFound:
    """Screening off: which of two sets the other one acts through, if any."""

    selected: ScreenedFound
    next_best: ScreenedFound


@dataclasses.dataclass(frozen=True, kw_only=True)
class JointTestsFindings:
    """The chosen nodes as a set, beside the rivals that they are held against."""

    selection: SelectionFound
    sets: tuple[JointFound, ...]
    # None: not measured, or every node was chosen.
    screening: ScreeningFound | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeadFound:
    """Where a head looks from the answer position, by the gold letter."""

    name: str
    layer: int
    head: int
    head_class: str
    label_mass: float
    # s per letter: share of label attention on it when it is gold, minus when not.
    follows: tuple[float, ...]
    # Share of label attention, gold letter × attended letter.
    gold_by_attended: tuple[tuple[float, ...], ...]
    # Share of all attention by kind of token.
    mass_by_class: dict[str, float]
    reason: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeadClassesFindings:
    """What kind of head each head is."""

    heads: tuple[HeadFound, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeadKind:
    """A head that was tested: does it look at a letter more when that is right?"""

    name: str
    head_class: str
    # Per letter: s, and the chance of one this high among all heads and letters.
    follows: tuple[float, ...]
    p_value: tuple[float, ...]
    # Its class by the questions of each half alone.
    class_by_half: tuple[str, str]
    # Of a single-letter head: the letter, and s on it (the proto index).
    letter: int | None = None
    proto_index: Interval | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeadKindsFindings:
    """Which heads follow the right letter beyond chance, and do their classes last?"""

    heads: tuple[HeadKind, ...]
    # 95 % of the largest s under permuted golds, over this many heads.
    threshold: float
    tested: int
    # Of the tested heads: the share with the same class in both halves, and what equal
    # shares of the classes would give by chance.
    agreement: float
    chance_agreement: float
    questions: int


# Who is edited, in routes and swaps.
EVERY_HEAD, LETTER_HEADS, RANDOM_HEADS = (
    "every head", "correct-letter heads", "random heads",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class RouteCut:
    """The answer position does not attend to some tokens, in some layers."""

    tokens: str
    first_layer: int
    last_layer: int
    # Whether the rest of the attention was scaled up to 1.
    renormalised: bool
    # Net logit that is left, as a share.
    left: Interval


@dataclasses.dataclass(frozen=True, kw_only=True)
class RouteSwap:
    """Some heads read some tokens as they are in another prompt, in every layer."""

    who: str
    tokens: str
    # Queries, keys, values.
    parts: str
    # Of the effect of another order of the options, the share that goes along: with
    # that order's tokens, and with those of another question with the same gold. None:
    # no tokens that stand for each other, or no effect.
    rotation: Interval | None
    placebo: Interval | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class RoutesFound:
    """Over which tokens the answer to some prompts comes to the last one."""

    # Of the right letter, and less that of another order of the options.
    net: Interval
    difference: Interval
    cuts: tuple[RouteCut, ...]
    swaps: tuple[RouteSwap, ...]
    questions: int
    # Why there are no shares; empty where there are.
    refused: str = ""
    prompts: str = "main"


@dataclasses.dataclass(frozen=True, kw_only=True)
class RoutesFindings(RoutesFound):
    """Those of the main prompts, and of others."""

    # The correct-letter heads whose share was measured; none, if none were known.
    letter_heads: tuple[str, ...]
    others: tuple[RoutesFound, ...] = ()
    # Other prompts that were asked for, and whose gate is closed.
    closed: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Followed:
    """Where the base's choice goes with something of the source in it."""

    who: str
    # Of the residual stream: the layer that it enters.
    layer: int | None
    # Follow-D of the source's place and letter (or the rate, see `SwapsFound`); None
    # where they share no letter.
    place: Interval
    letter: Interval | None
    # Share of choices by the place that the source points to, [pointed to, chosen].
    by_place: tuple[tuple[float, ...], ...]
    # How often the base keeps its own right answer.
    stays: Interval
    # Fewer than 20 questions on a side.
    too_few: bool
    # What follows: the answer, or the head's attention on lines.
    reading: str = "answer"
    # Of the source's text; of its label's rank where they share no letter; of its place
    # counted from the end in lines, or in tokens, where they have not as many options.
    content: Interval | None = None
    rank: Interval | None = None
    from_end: Interval | None = None
    offset: Interval | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class SwapsFound:
    """One form: how bases and sources are put, by the names of mutations."""

    base: str
    source: str
    base_accuracy: float
    source_accuracy: float
    followed: tuple[Followed, ...]
    # Of the bases; none of them helped to name heads.
    questions: int
    form: str = ""
    # Whether what is given for a line is the share of choices on it: where lines must
    # be apart a base has not a source for every one, and follow-D would be biased.
    is_rate: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class QuerySwapsFindings:
    """Do correct-letter heads ask for a place, a letter, or a content?"""

    forms: tuple[SwapsFound, ...]
    letter_heads: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class EarlierPositionsFindings:
    """What nodes do before the answer position."""

    nodes: tuple[str, ...]
    # Largest change of an answer logit when the node is patched there, in logits.
    largest_change: tuple[float, ...]
    questions: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlantedTruthFindings:
    """What was planted against what was found; only for planted models."""

    # role -> names
    planted: dict[str, tuple[str, ...]]
    found: dict[str, tuple[str, ...]]
    classes_planted: dict[str, str]
    classes_found: dict[str, str]
    largest_error: float
    agrees: bool
