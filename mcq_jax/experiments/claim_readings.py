"""What the paper says, and where in a run's findings each claim is read.

Lieberum et al. 2023, arXiv 2307.09458. Sources, surest first: "abstract" and "authors'
post" are the authors' own words; "described" is what others write of the paper. The
words here are ours.
"""

import dataclasses
from collections.abc import Callable

from mcq_jax.metrics import Interval
from mcq_jax.results import (
    Followed,
    HeadClassesFindings,
    HeadKindsFindings,
    JointTestsFindings,
    NodeEffectsFindings,
    QuerySwapsFindings,
    RoutesFindings,
    RunResults,
)

# The classes that the paper names; ours by the same attention patterns.
CLASSES_OF_PAPER = ("correct_letter", "single_letter", "uniform", "amplifier")
_LETTER_HEADS = "correct-letter heads"
_LEVEL = 0.05


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reading:
    """One number of a run that a claim is about."""

    # None: not there, for the reason in `missing`.
    estimate: Interval | None = None
    missing: str = ""
    control: Interval | None = None
    control_name: str = ""
    share: Interval | None = None
    # What the number is.
    of: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PaperClaim:
    """One claim: our words, its source, what would count against it, its number."""

    # Also the name of its band in `PaperClaims`.
    name: str
    text: str
    source: str
    against: str
    read: Callable[[RunResults], Reading]


def _few_nodes(run: RunResults) -> Reading:
    found = run.get(JointTestsFindings)
    if found is None:
        return Reading(missing="no set was tested")
    every = run.about.layers * (run.about.heads + 1)
    size = len(found.selection.nodes)
    return Reading(
        estimate=_counted(size / every, found.selection.questions),
        of=f"{size} of {every} nodes reach {found.selection.reached:.0%} of the total "
        "direct effect (a count, without an interval)",
    )


def _joint(run: RunResults) -> Reading:
    found = run.get(JointTestsFindings)
    if found is None:
        return Reading(missing="no set was tested")
    by_kind = {one.kind: one for one in found.sets}
    if by_kind["selected"].sufficiency is None:
        return Reading(missing=by_kind["selected"].refused)
    return Reading(
        estimate=by_kind["selected"].sufficiency,
        control=by_kind["random"].sufficiency,
        control_name="random sets",
        of="recovery of the net logit on held-out questions",
    )


def _upstream(run: RunResults) -> Reading:
    """Of heads whose direct effect is small, the largest total effect."""
    found = run.get(NodeEffectsFindings)
    if found is None:
        return Reading(missing="no node was patched")
    heads = [n for n in found.nodes if n.head >= 0 and "rotation" in n.total]
    small = [n for n in heads if 4 * abs(n.direct["rotation"].mean) < _total(n)]
    if not small:
        return Reading(missing="no head has a total effect four times its direct one")
    top = max(small, key=_total)
    whole = run.behaviour.gate.selectivity if run.behaviour else float("nan")
    total = top.total["rotation"]
    return Reading(
        estimate=_scaled(total, whole),
        control=_scaled(top.total["placebo"], whole)
        if "placebo" in top.total
        else None,
        control_name="the same head, sources with the same letter",
        of=f"total effect of {top.name} as a share of D, the largest of heads with a "
        "small direct effect",
    )


def _classes(run: RunResults) -> Reading:
    found = run.get(HeadClassesFindings)
    if found is None:
        return Reading(missing="heads were not classified")
    present = {head.head_class for head in found.heads}
    seen = [name for name in CLASSES_OF_PAPER if name in present]
    kinds = run.get(HeadKindsFindings)
    lasting = (
        f"; {kinds.agreement:.0%} of the heads keep their class in both halves of the "
        f"questions, {kinds.chance_agreement:.0%} would by chance"
        if kinds is not None
        else ""
    )
    return Reading(
        estimate=_counted(len(seen), run.about.questions),
        of=f"of four classes: {', '.join(seen).replace('_', ' ') or 'none'}{lasting}",
    )


def _letter_specific(run: RunResults) -> Reading:
    found = run.get(HeadKindsFindings)
    if found is None:
        return Reading(missing="head_kinds was not run")
    names = [
        head.name
        for head in found.heads
        if head.head_class == "letter_specific" and min(head.p_value) < _LEVEL
    ]
    return Reading(
        estimate=_counted(len(names), found.questions),
        of=f"heads beyond chance (maximum over heads and letters): {', '.join(names)}"
        if names
        else "no letter-specific head is beyond chance",
    )


def _place(run: RunResults) -> Reading:
    """Follow-D of the place where base and source have no letter in common."""
    found = run.get(QuerySwapsFindings)
    if found is None:
        return Reading(missing="query_swaps was not run")
    for form in found.forms:
        heads = _followed(form.followed, _LETTER_HEADS)
        if heads is not None and heads.letter is None:
            random = _followed(form.followed, "random heads")
            return Reading(
                estimate=heads.place,
                control=None if random is None else random.place,
                control_name="random heads",
                share=_share_of_heads(run),
                of=f"follow-D of the place, base {form.base}, source {form.source}",
            )
    return Reading(missing="no form of the swap has letters that differ throughout")


def _identity(run: RunResults) -> Reading:
    """Follow-D of the letter where place and letter fall on different lines."""
    found = run.get(QuerySwapsFindings)
    if found is None:
        return Reading(missing="query_swaps was not run")
    for form in found.forms:
        heads = _followed(form.followed, _LETTER_HEADS)
        if heads is not None and heads.letter is not None and form.base == form.source:
            random = _followed(form.followed, "random heads")
            return Reading(
                estimate=heads.letter,
                control=None if random is None else random.letter,
                control_name="random heads",
                share=_share_of_heads(run),
                of=f"follow-D of the letter, base and source {form.base}",
            )
    return Reading(missing="no form of the swap tells place from letter")


def _share_of_heads(run: RunResults) -> Interval | None:
    """The share of the effect that goes by the correct-letter heads' queries."""
    found = run.get(RoutesFindings)
    if found is None:
        return None
    for swap in found.swaps:
        if swap.who == _LETTER_HEADS and swap.parts == "queries":
            return swap.rotation
    return None


def _followed(found: tuple[Followed, ...], who: str) -> Followed | None:
    return next((one for one in found if one.who == who), None)


def _total(node) -> float:
    return node.total["rotation"].mean


def _counted(value: float, questions: int) -> Interval:
    """A count: its interval is itself."""
    return Interval(mean=value, low=value, high=value, questions=questions)


def _scaled(found: Interval, whole: float) -> Interval:
    low, high = sorted((found.low / whole, found.high / whole))
    return Interval(
        mean=found.mean / whole, low=low, high=high, questions=found.questions
    )


CLAIMS: tuple[PaperClaim, ...] = (
    PaperClaim(
        name="few_nodes",
        text="A small part of all nodes holds most of the direct effect.",
        source="described: 45 of 5,200 nodes",
        against="A share of nodes beyond the band.",
        read=_few_nodes,
    ),
    PaperClaim(
        name="joint",
        text="Patched together, these nodes restore most of the effect.",
        source="described (section 3.1)",
        against="Half of it or less on held-out questions, or as much by random sets.",
        read=_joint,
    ),
    PaperClaim(
        name="upstream",
        text="Some heads act through later ones: a large total effect beside a small "
        "direct one.",
        source="described (section 3.1, appendix B: L24H18)",
        against="No such head, or as much with sources of the same letter.",
        read=_upstream,
    ),
    PaperClaim(
        name="classes",
        text="Heads fall into classes by where they look: correct letter, single "
        "letter, uniform, amplifier.",
        source="described (section 3.2, appendix E)",
        against="A class without a head.",
        read=_classes,
    ),
    PaperClaim(
        name="letter_specific",
        text="Some heads look at one letter if it is the right one, and at no other.",
        source="authors' post",
        against="No such head beyond what permuted golds give by chance.",
        read=_letter_specific,
    ),
    PaperClaim(
        name="place",
        text="Correct-letter heads ask for the N-th item of the list.",
        source="abstract (section 4)",
        against="Choices that do not follow the source's place where it has no letter "
        "in common with the base.",
        read=_place,
    ),
    PaperClaim(
        name="identity",
        text="They ask for the letter itself as well: features are a mix of both.",
        source="abstract (section 4.2)",
        against="Choices that do not follow the source's letter where it stands on "
        "another line than its place.",
        read=_identity,
    ),
)
