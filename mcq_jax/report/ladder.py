"""How far descriptions of queries, keys and values carry: the ladder's section."""

from collections.abc import Iterator

from mcq_jax.metrics import Interval
from mcq_jax.report import ladder_cloud, ladder_figures, words
from mcq_jax.report.cards import Card, track
from mcq_jax.report.section import Plate, Section, Titled
from mcq_jax.report.table import Cell, Row, Table
from mcq_jax.results import (
    LadderFindings,
    LadderFound,
    PartsFound,
    RungFound,
    RunResults,
)

_SCOPE = (
    "A recovered share is of what the correct-letter heads do, which is a share of the "
    "net logit, not of all that leads to the answer; four labels span three dimensions "
    "at most, so three that do are no finding by themselves."
)
_PARTS = {
    "Q": "queries", "K": "label keys", "V": "label values", "QK": "queries and keys",
    "QKV": "queries, keys, values",
}  # fmt: skip


def section(run: RunResults) -> Section | None:
    found = run.get(LadderFindings)
    if found is None:
        return None
    return Section(
        anchor="ladder",
        short="Ladder",
        title="How far a description of queries, keys and values carries",
        text=_text(found),
        figures=tuple(
            plate
            for number, one in enumerate(found.sets, 1)
            for plate in _plates(one, number, found)
        )
        + _across(found),
        attached=tuple(
            file
            for number, one in enumerate(found.sets, 1)
            if (file := ladder_cloud.interactive(one, f"ladder-heads-{number}.html"))
        ),
        tables=tuple(table for one in found.sets for table in _tables(one, found)),
        cards=_cards(found),
        scope=(_SCOPE,) if found.sets else (),
        experiment="ladder",
    )


def _text(found: LadderFindings) -> str:
    if not found.letter_heads:
        return "No correct-letter heads were named, so there is nothing to describe."
    return (
        "In place of what the correct-letter heads see at the answer position stands "
        "what a description says of it: their mean over right options and lines "
        "(rank 0), the mean for a place, for a letter, their sum, with it whether the "
        "right option stands before, every pair of place and letter (the head as "
        "pseudocode), or the part of it in a few dimensions. Recovered: 0 with all "
        "these heads at their mean, 1 with the heads as they are. Fitted on some "
        f"questions, read on others.\n\nHeads: {', '.join(found.letter_heads)}. Frame: "
        f"{words.readable(found.frame.lower())}."
    )


def _cards(found: LadderFindings) -> tuple[Card, ...]:
    """Queries and keys in three dimensions, on the first prompts that can say it."""
    for one in found.sets:
        for rung in one.rungs:
            three = (rung.parts, rung.kind, rung.name) == (
                "QK",
                "score-optimal",
                "rank 3",
            )
            if not three or rung.recovered is None:
                continue
            [carried] = [parts for parts in one.parts if parts.parts == "QK"]
            random = None if rung.random is None else rung.random.mean
            marks = () if random is None else ((random, "random"),)
            return (
                Card(
                    label="Q and K at rank 3, jointly",
                    value=words.number(rung.recovered.mean),
                    spread=words.spread(rung.recovered),
                    sample=f"n = {words.count(one.questions, 'question')}",
                    note=f"rank 0 is 0, random {words.number(random)}; of "
                    f"{words.percent(carried.share.mean)} of the net logit",
                    track=track(rung.recovered, max(1.0, rung.recovered.high), marks),
                ),
            )
    return ()


def _plates(one: LadderFound, number: int, found: LadderFindings) -> Iterator[Plate]:
    sample = f"n = {words.count(one.questions, 'question')}"
    if ladder_cloud.is_shown(one) and one.cloud is not None:
        yield Plate(
            name=f"ladder-cloud-{number}",
            title=f"Queries and label keys of {one.cloud.head} ({one.prompts} prompts)",
            caption="Diamonds: queries, by the right option's label; dots: label keys. "
            "Left in the three dimensions that keep most of the score, right in three "
            "random ones: that points can be told apart there too says how little "
            "that alone shows. Right in: prompts in which the query's largest product "
            "is with the right label's key.",
            sample=sample,
            draw=lambda run: ladder_cloud.picture(one),
        )
    if all(parts.refused for parts in one.parts):
        return
    yield Plate(
        name=f"ladder-{number}",
        title=f"The ladder ({one.prompts} prompts, {one.choices} options)",
        caption="Share of these heads' effect on the net logit that comes back, rung "
        "by rung. Filled: means. Hollow: content of another prompt that is alike in "
        "this (causal scrubbing; its 0 is any other content). Grey: random subspaces "
        "of as many dimensions. Rungs that these labels do not identify are left out. "
        "Bars: 95 % intervals over questions.",
        sample=sample,
        draw=lambda run: ladder_figures.rungs(one),
    )
    yield Plate(
        name=f"ladder-ranks-{number}",
        title=f"How many dimensions ({one.prompts} prompts)",
        caption="The same by rank: the subspace that keeps most of the score (of "
        "values: of what the answers' logits read), that of most variance, and random "
        f"ones. Dashed: {words.percent(found.enough)} of the effect. Bands: 95 %.",
        sample=sample,
        draw=lambda run: ladder_figures.ranks(one, found.enough),
    )


def _across(found: LadderFindings) -> tuple[Plate, ...]:
    """Dimensions against options, where sets differ in their number."""
    if len({one.choices for one in found.sets}) < 2:
        return ()
    return (
        Plate(
            name="ladder-options",
            title="Dimensions needed, by the number of options",
            caption="Score-optimal dimensions of queries and keys together. Points on "
            "a convex curve need 2 whatever their number, a simplex one less than "
            "there are options, the first against the rest 1.",
            sample=f"n = {words.count(len(found.sets), 'set')} of prompts",
            draw=lambda run: ladder_figures.by_options(found),
        ),
    )


def _tables(one: LadderFound, found: LadderFindings) -> Iterator[Titled]:
    where = f"{one.prompts} prompts, {one.choices} options"
    yield Titled(
        table=Table(
            columns=("in place of all", "lost at rank 0", "share of net logit",
                     "dimensions", "in bootstrap samples", "of score, of variance"),
            rows=tuple(_parts_row(parts) for parts in one.parts),
        ),
        title=f"What these heads carry, and in how few dimensions ({where})",
        note=f"Net logit {words.number(one.net.mean)} ({words.spread(one.net)}). "
        f"Dimensions: the fewest score-optimal ones that recover "
        f"{words.percent(found.enough)}; in samples of the questions, for the same "
        "subspaces. Of score, of variance: dimensions that hold 99 % of either, the "
        f"most of any head. Fitted on {words.count(one.fitting_questions, 'question')}"
        f", read on {one.questions} others.",
    )  # fmt: skip
    shown = [rung for rung in one.rungs if rung.kind in ("means", "direction")]
    yield Titled(
        table=Table(
            columns=("what", "description", "recovered", "in nats", "random"),
            rows=tuple(_rung_row(rung, one) for rung in shown),
        ),
        title=f"Rung by rung ({where})",
        note="Recovered net logit, beside it the same of the loss, which need not rise "
        "from rung to rung, and random subspaces of as many dimensions. Share: of the "
        "net logit, that all these heads' parts carry.",
    )
    yield Titled(
        table=Table(
            columns=("at its mean", "net logit lost"),
            rows=tuple(
                Row(name=head.name, cells=(_cell(head.lost),)) for head in one.alone
            )
            + (Row(name="all of them", cells=(_cell(one.together),)),),
        ),
        title=f"One head alone, and together ({where})",
        note="Queries, keys and values. What one head loses is no evidence: others may "
        "stand in for it.",
    )


def _parts_row(parts: PartsFound) -> Row:
    return Row(
        name=_PARTS.get(parts.parts, parts.parts),
        cells=(
            _cell(parts.difference),
            _cell(parts.share),
            Cell(text=_needed(parts)),
            Cell(text=_samples(parts)),
            Cell(text=f"{parts.of_score}, {parts.of_variance}"),
        ),
        note=parts.refused,
    )


def _needed(parts: PartsFound) -> str:
    if parts.refused:
        return words.MISSING
    return "more than tried" if parts.needed is None else str(parts.needed)


def _samples(parts: PartsFound) -> str:
    named = [
        f"{'more' if one.dimensions is None else one.dimensions}: "
        f"{words.percent(one.share)}"
        for one in parts.needed_in_samples
    ]
    return "; ".join(named) or words.MISSING


def _rung_row(rung: RungFound, one: LadderFound) -> Row:
    shares = [p.share for p in one.parts if p.parts == rung.parts]
    note = rung.refused
    if not note and shares:
        note = f"share {words.percent(shares[0].mean)}"
    return Row(
        name=_PARTS.get(rung.parts, rung.parts),
        cells=(
            Cell(text=rung.name),
            _cell(rung.recovered),
            _cell(rung.recovered_loss),
            _cell(rung.random),
        ),
        note=note,
    )


def _cell(found: Interval | None) -> Cell:
    if found is None:
        return Cell(text=words.MISSING)
    return Cell(text=words.number(found.mean), below=words.spread(found))
