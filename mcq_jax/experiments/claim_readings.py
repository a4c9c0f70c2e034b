"""Where in a run's findings each of the paper's claims is read: one function each."""

import dataclasses

from mcq_jax.metrics import Interval
from mcq_jax.results import (
    LETTER_HEADS,
    RANDOM_HEADS,
    Followed,
    HeadClassesFindings,
    HeadKindsFindings,
    JointTestsFindings,
    LadderFindings,
    MutationGridFindings,
    NodeEffectsFindings,
    QuerySwapsFindings,
    RoutesFindings,
    RunResults,
)

# The classes that the paper names; ours by the same attention patterns.
CLASSES_OF_PAPER = ("correct_letter", "single_letter", "uniform", "amplifier")
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


def few_nodes(run: RunResults) -> Reading:
    found = run.get(JointTestsFindings)
    if found is None:
        return Reading(missing="no set was tested")
    every = run.about.layers * (run.about.heads + 1)
    size = len(found.selection.nodes)
    return Reading(
        estimate=_counted(size / every, found.selection.questions),
        of=f"{size} of {every} nodes come to {found.selection.reached:.0%} of the "
        "total direct effect (a count, without an interval)",
    )


def joint(run: RunResults) -> Reading:
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


def upstream(run: RunResults) -> Reading:
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


def classes(run: RunResults) -> Reading:
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


def letter_specific(run: RunResults) -> Reading:
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


def place(run: RunResults) -> Reading:
    """Follow-D of the place where base and source have no letter in common."""
    return _swapped(run, ("random_letters", "other_letters"), "place")


def identity(run: RunResults) -> Reading:
    """Follow-D of the letter where labels of one alphabet are permuted."""
    return _swapped(run, ("permuted",), "letter")


def _swapped(run: RunResults, forms: tuple[str, ...], of: str) -> Reading:
    found = run.get(QuerySwapsFindings)
    if found is None:
        return Reading(missing="query_swaps was not run")
    for form in found.forms:
        heads = _followed(form.followed, LETTER_HEADS)
        if form.form not in forms or heads is None:
            continue
        random = _followed(form.followed, RANDOM_HEADS)
        return Reading(
            estimate=getattr(heads, of),
            control=None if random is None else getattr(random, of),
            control_name=RANDOM_HEADS,
            share=_share_of_heads(run),
            of=f"follow-D of the {of}, form {form.form}",
        )
    return Reading(missing=f"query_swaps has no form {' or '.join(forms)} of heads")


def rank_three(run: RunResults) -> Reading:
    """Queries and label keys in three score-optimal dimensions, together."""
    return _rung(run, "QK", "score-optimal", "rank 3")


def pseudocode(run: RunResults) -> Reading:
    """The head as pseudocode: queries, keys and values by place and letter."""
    return _rung(run, "QKV", "means", "place and letter")


def value_letter(run: RunResults) -> Reading:
    """Values by their label's letter, beside values by its place."""
    found = _rung(run, "V", "means", "letter")
    place = _rung(run, "V", "means", "place")
    return dataclasses.replace(
        found, control=place.estimate, control_name="values by their place"
    )


def random_letters(run: RunResults) -> Reading:
    return _mutated(run, "random_letters", "other_random_letters")


def numbers(run: RunResults) -> Reading:
    return _mutated(run, "numbers")


def separators(run: RunResults) -> Reading:
    return _mutated(
        run, "bracket_behind", "dot_behind", "colon_behind", "round_brackets",
        "square_brackets",
    )  # fmt: skip


def _mutated(run: RunResults, *mutations: str) -> Reading:
    """What the subspace found without mutation recovers under the first of these."""
    found = run.get(MutationGridFindings)
    if found is None:
        return Reading(missing="mutation_grid was not run")
    missing = f"the card has no prompts with the mutation {' or '.join(mutations)}"
    for row in found.rows:
        if not set(row.mutation.split(" + ")) & set(mutations):
            continue
        cells = {cell.variant: cell.recovered for cell in row.cells}
        if cells.get("unmutated") is None:
            missing = row.refused or f"{row.prompts}: nothing to recover"
            continue
        return Reading(
            estimate=cells["unmutated"],
            control=cells.get("random directions"),
            control_name="random directions",
            share=row.share,
            of=f"recovered between rank 0 and intact, {row.prompts} prompts: "
            f"{row.changes}{_on_plain_prompts(found)}",
        )
    return Reading(missing=missing)


def _on_plain_prompts(found: MutationGridFindings) -> str:
    """What the same subspace recovers where nothing is changed, as a sentence."""
    for row in found.rows:
        for cell in row.cells:
            if (row.mutation, cell.variant) != ("none", "unmutated"):
                continue
            if plain := cell.recovered:
                return (
                    f" On plain prompts it is {plain.mean:.2f} "
                    f"({plain.low:.2f} to {plain.high:.2f})."
                )
    return ""


def _rung(run: RunResults, parts: str, kind: str, name: str) -> Reading:
    """What a rung recovers, on the first prompts that identify it."""
    found = run.get(LadderFindings)
    if found is None:
        return Reading(missing="ladder was not run")
    missing = f"no prompts of the ladder have the rung {name!r} of {parts}"
    for one in found.sets:
        for rung in one.rungs:
            if (rung.parts, rung.kind, rung.name) != (parts, kind, name):
                continue
            if rung.recovered is None:
                missing = rung.refused
                continue
            [carried] = [p for p in one.parts if p.parts == parts]
            return Reading(
                estimate=rung.recovered,
                control=rung.random,
                control_name="random subspaces of as many dimensions",
                share=carried.share,
                of=f"recovered between rank 0 and intact, {one.prompts} prompts",
            )
    return Reading(missing=missing)


def _share_of_heads(run: RunResults) -> Interval | None:
    """The share of the effect that goes by the correct-letter heads' queries."""
    found = run.get(RoutesFindings)
    if found is None:
        return None
    for swap in found.swaps:
        if swap.who == LETTER_HEADS and swap.parts == "queries":
            return swap.rotation
    return None


def _followed(found: tuple[Followed, ...], who: str) -> Followed | None:
    answers = (one for one in found if one.who == who and one.reading == "answer")
    return next((one for one in answers if one.layer is None), None)


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
