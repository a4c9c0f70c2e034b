"""What self-repair and ablation types came to."""

import dataclasses

from mcq_jax.metrics import Interval


@dataclasses.dataclass(frozen=True, kw_only=True)
class LaterFound:
    """A later node that writes otherwise while others are ablated."""

    name: str
    compensation: Interval


@dataclasses.dataclass(frozen=True, kw_only=True)
class RepairFound:
    """One node, or one layer's attention, ablated in one way; net logits."""

    name: str
    # "selected node", "attention layer", "random node"
    kind: str
    # "resample", "mean", "zero"
    ablation: str
    direct: Interval
    # What is lost in the end, the final norm's scale at its own value.
    total: Interval
    # The same with the scale frozen: direct less compensation.
    total_frozen: Interval
    # What later nodes write more (above 0) than before, all together.
    compensation: Interval
    # As a share of the direct effect; None: its interval includes 0, or it is below
    # 1 % of the largest net logit.
    share: Interval | None
    # Compensation on direct effect over the prompts; None: those do not differ.
    slope: Interval | None
    r_squared: float | None
    # Compensation by layer, of its attention and of its feed-forward block.
    attention: tuple[float, ...]
    feedforward: tuple[float, ...]
    # Those that write otherwise most.
    later: tuple[LaterFound, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class RepairLine:
    """Compensation on direct effect over all nodes of a kind and all prompts."""

    kind: str
    ablation: str
    slope: Interval | None
    intercept: float | None
    r_squared: float | None
    refused: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class SetAblated:
    """A set ablated, and everything but the set, as shares of ablating all."""

    # "selected", "random"
    name: str
    size: int
    ablation: str
    taken: Interval | None
    kept: Interval | None
    refused: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class GroupAblated:
    """A role group ablated alone, and restored while all groups are ablated."""

    name: str
    nodes: tuple[str, ...]
    ablation: str
    noised: Interval
    restored: Interval


@dataclasses.dataclass(frozen=True, kw_only=True)
class Interaction:
    """Two groups, or two nodes of a group, ablated together against the sum."""

    # "groups", or the group whose nodes they are.
    of: str
    first: str
    second: str
    ablation: str
    first_effect: Interval
    second_effect: Interval
    both: Interval
    # both - first - second.
    interaction: Interval
    # "either one will do", "both are needed", "independent", "undecided"
    reading: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class SelfRepairFindings:
    """What later nodes make up for, by the kind of ablation."""

    repairs: tuple[RepairFound, ...]
    lines: tuple[RepairLine, ...]
    sets: tuple[SetAblated, ...]
    groups: tuple[GroupAblated, ...]
    interactions: tuple[Interaction, ...]
    # Largest |direct - compensation - total at the frozen scale|, net logits.
    conservation_error: float
    questions: int
    # The slope from which later layers count as making up for attention; as the card
    # had it.
    level: float | None = None
