"""`Findings`: what a run found, in the form that the report reads.

Everything here is numbers and short texts with their intervals; the tables beside it
hold the values per question from which they come.
"""

import dataclasses
import json
import types
import typing
from typing import Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over questions with its 95 % interval, clustered by question."""

    mean: float
    low: float
    high: float
    questions: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """What was asked, of which model."""

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


@dataclasses.dataclass(frozen=True, kw_only=True)
class BehaviourFound:
    """E1: does the model do the task, and by which part of the loss."""

    accuracy: Estimate
    prior_corrected_accuracy: Estimate
    consistent_accuracy: Estimate
    net_logit: Estimate
    loss: Estimate
    loss_outside: Estimate
    loss_inside: Estimate
    answer_mass: Estimate
    accuracy_by_gold: tuple[float, ...]
    share_by_letter: tuple[float, ...]
    letter_prior: tuple[float, ...]
    # Mean centred logit, gold letter × letter: its diagonal is what binding looks like.
    gold_by_letter: tuple[tuple[float, ...], ...]
    # Questions right in every rotation after subtracting the letter prior.
    kept_questions: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class GateFound:
    """Whether there is an effect to explain: D against its null."""

    open: bool
    selectivity: float
    null_low: float
    null_high: float
    p_value: float
    null: str
    reason: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class NodeFound:
    """E2, E3: one head or feed-forward block; effects by kind of source, in logits."""

    name: str
    layer: int
    head: int  # -1 for the feed-forward block
    selected: bool
    head_class: str
    direct: dict[str, Estimate]
    total: dict[str, Estimate]
    # Change of the loss under rotation sources, and its two parts, in nats.
    loss: Estimate
    loss_outside: Estimate
    loss_inside: Estimate
    # The three readings of gold letter × answer letter contributions, logits.
    promotion: float
    letter_prior: tuple[float, ...]
    selectivity: float
    # Of the direct effect under rotation sources, adjusted over all nodes.
    p_value: float


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
    """E4: one set patched as a whole, on held-out questions; 1 is complete recovery."""

    # "selected", "next_best", "random", "all", "cumulative"
    kind: str
    size: int
    # None with a reason where the denominator's interval includes 0.
    sufficiency: Estimate | None
    necessity: Estimate | None
    refused: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeadFound:
    """E5: where a head looks from the answer position, by the gold letter."""

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
class PlantedFound:
    """What was planted against what was found; only for planted models."""

    # role -> names
    planted: dict[str, tuple[str, ...]]
    found: dict[str, tuple[str, ...]]
    classes_planted: dict[str, str]
    classes_found: dict[str, str]
    largest_error: float
    agrees: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Findings:
    """Everything that the report tells. Parts a run did not reach are None or ()."""

    verdict: str
    has_circuit: bool
    asked: Asked
    behaviour: BehaviourFound
    gate: GateFound
    # Largest |sum of contributions - logit| over prompts and answers.
    conservation_error: float | None
    effect_questions: int
    effect_prompts: int
    nodes: tuple[NodeFound, ...]
    selection: SelectionFound | None
    joint: tuple[JointFound, ...]
    heads: tuple[HeadFound, ...]
    planted: PlantedFound | None
    seconds: dict[str, float]
    caveats: tuple[str, ...]

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> "Findings":
        return _build(cls, json.loads(text))


def _build(kind: Any, value: Any) -> Any:
    """Rebuilds dataclasses, tuples and dictionaries from JSON by their types."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        kinds = typing.get_type_hints(kind)
        return kind(**{name: _build(kinds[name], value[name]) for name in kinds})
    if origin is tuple:
        return tuple(_build(arguments[0], item) for item in value)
    if origin is dict:
        return {key: _build(arguments[1], item) for key, item in value.items()}
    if origin is types.UnionType:
        return None if value is None else _build(arguments[0], value)
    return value
