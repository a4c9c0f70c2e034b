"""What later nodes make up for, by node, layer and kind of ablation."""

from collections.abc import Iterable

from mcq_jax.metrics import Interval
from mcq_jax.report import repair_figures, words
from mcq_jax.report.claims import UNTESTABLE, Claim, against
from mcq_jax.report.section import FIRST_ROWS, Plate, Section, Titled
from mcq_jax.report.table import Cell, Row, Table
from mcq_jax.results import (
    GroupAblated,
    Interaction,
    RepairFound,
    RunResults,
    SelfRepairFindings,
    SetAblated,
)

# Rows of the table of nodes, by the size of the direct effect.
LONGEST = 16
_SCOPE = (
    "Ablated is what nodes write at the answer position alone. Zeros are off "
    "distribution: a node that only they wake is no part of the task. More than one "
    "reading of an interaction is possible: nodes in series need each other, too."
)


def section(run: RunResults) -> Section | None:
    found = run.get(SelfRepairFindings)
    if found is None or not found.repairs:
        return None
    sample = f"n = {words.count(found.questions, 'question')}"
    return Section(
        anchor="repair",
        short="Repair",
        title="What later nodes make up for",
        text=_text(found),
        figures=(
            Plate(
                name="repair_direct",
                title="Made up for, against what was taken away",
                caption="Each point is a node or one layer's attention, ablated at the "
                "answer position. Across: what it wrote itself. Up: what later nodes "
                "write more than before, the final norm's scale frozen. Dashed: all is "
                "made up for. Line: the slope over attention layers. Random nodes are "
                "of the same kinds and layers as the selected ones. Bars: 95 % "
                "intervals over questions by which no node was chosen.",
                sample=sample,
                draw=repair_figures.against_direct,
            ),
            Plate(
                name="repair_layers",
                title="Which layers make up for it",
                caption="Attention and feed-forward block of each later layer "
                "together, mean over prompts; orange: they write more for the right "
                "answer than before, blue: less, as what passes an ablated node on "
                "does.",
                sample=sample,
                draw=repair_figures.by_layer,
            ),
        ),
        tables=tuple(_tables(found)),
        claims=(_makes_up(found),),
        scope=(_SCOPE,),
        experiment="self_repair",
    )


def _text(found: SelfRepairFindings) -> str:
    said = (
        "An ablated node takes away its direct effect; later nodes may write more "
        "than before, and what is lost in the end is less. How much depends on what "
        "stands in for the node: what it writes in another prompt, its mean, or zeros."
    )
    slopes = [
        f"{words.readable(line.ablation)} {words.number(line.slope.mean)} "
        f"({words.spread(line.slope)}; R² {words.number(line.r_squared)})"
        for line in found.lines
        if line.kind == "attention layer" and line.slope is not None
    ]
    if slopes:
        said += (
            " Slope of what is made up for on the direct effect, over all attention "
            f"layers and prompts: {', '.join(slopes)}."
        )
    return said


def _makes_up(found: SelfRepairFindings) -> Claim:
    """By resampling, the ablation that stays on distribution."""
    text = "Later layers make up for attention that is ablated."
    lines = [
        line
        for line in found.lines
        if (line.kind, line.ablation) == ("attention layer", "resample")
    ]
    if not lines or lines[0].slope is None or found.level is None:
        why = lines[0].refused if lines else "no layer was ablated by resampling"
        return Claim(text=text, status=UNTESTABLE, why=f"No slope: {why}.")
    slope = lines[0].slope
    return Claim(
        text=text,
        status=against(slope, found.level),
        why=f"Slope on the direct effect {words.number(slope.mean)} "
        f"({words.spread(slope)}); the level set beforehand is "
        f"{words.number(found.level)}.",
    )


def _tables(found: SelfRepairFindings) -> Iterable[Titled]:
    yield Titled(
        table=_repair_table(found.repairs),
        title="Nodes and layers",
        note="Net logits. Frozen: lost in the end with the final norm's scale as it "
        "was, which is direct less made up for; total: with the norm at work. Share: "
        "made up for in units of the direct effect, a dash where that may be 0 or is "
        "small. Random nodes last.",
        shown=FIRST_ROWS,
    )
    if found.sets:
        yield Titled(
            table=_set_table(found.sets),
            title="Three ablations, both ways",
            note="Of what is lost when every node is ablated at the answer position: "
            "what ablating the set alone takes, and what is kept when everything but "
            "the set is ablated.",
        )
    if found.groups:
        yield Titled(
            table=_group_table(found.groups),
            title="Role groups",
            note="Net logits. Ablated: lost with the group alone ablated. Restored: "
            "what the group brings back while all other groups stay ablated. Roles "
            "are those of the questions by which nodes were chosen.",
        )
    told = [i for i in found.interactions if i.of == "groups" or _is_told(i)]
    if told:
        yield Titled(
            table=_interaction_table(told),
            title="Two at a time",
            note="Net logits; interaction: both less the sum of each. Pairs of nodes "
            "of one group are shown where the reading is decided.",
            shown=FIRST_ROWS,
        )


def _repair_table(repairs: tuple[RepairFound, ...]) -> Table:
    names = dict.fromkeys(
        (r.kind == "random node", r.name)
        for r in sorted(repairs, key=lambda r: -abs(r.direct.mean))
    )
    chosen = [name for is_random, name in names if not is_random][:LONGEST]
    chosen += [name for is_random, name in names if is_random][:3]
    rows = sorted(
        (r for r in repairs if r.name in chosen), key=lambda r: chosen.index(r.name)
    )
    return Table(
        columns=(
            "ablated", "by", "direct", "made up for", "share", "frozen", "total",
            "most by",
        ),
        rows=tuple(
            Row(
                name=r.name,
                note="random" if r.kind == "random node" else "",
                cells=(
                    Cell(text=words.readable(r.ablation)),
                    *map(_cell, (r.direct, r.compensation, r.share, r.total_frozen,
                                 r.total)),
                    Cell(text=_most(r)),
                ),
            )
            for r in rows
        ),
    )  # fmt: skip


def _most(repair: RepairFound) -> str:
    """The later nodes whose interval excludes 0."""
    named = [
        f"{later.name} {words.signed(later.compensation.mean)}"
        for later in repair.later
        if later.compensation.excludes_zero() and abs(later.compensation.mean) >= 0.005
    ]
    return ", ".join(named) or words.MISSING


def _set_table(sets: tuple[SetAblated, ...]) -> Table:
    return Table(
        columns=("set", "nodes", "by", "taken by it alone", "kept by it alone"),
        rows=tuple(
            Row(
                name=words.readable(one.name),
                cells=(
                    Cell(text=str(one.size)),
                    Cell(text=words.readable(one.ablation)),
                    _cell(one.taken),
                    _cell(one.kept),
                ),
                note=one.refused,
            )
            for one in sets
        ),
    )


def _group_table(groups: tuple[GroupAblated, ...]) -> Table:
    return Table(
        columns=("group", "nodes", "by", "ablated", "restored"),
        rows=tuple(
            Row(
                name=group.name,
                cells=(
                    Cell(text=_few(group.nodes)),
                    Cell(text=words.readable(group.ablation)),
                    _cell(group.noised),
                    _cell(group.restored),
                ),
            )
            for group in groups
        ),
    )


def _few(names: tuple[str, ...], most: int = 6) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _is_told(found: Interaction) -> bool:
    return found.reading in ("either one will do", "both are needed")


def _interaction_table(found: list[Interaction]) -> Table:
    return Table(
        columns=(
            "first and second", "by", "first", "second", "both", "interaction",
            "reading",
        ),
        rows=tuple(
            Row(
                name=f"{one.first} · {one.second}",
                cells=(
                    Cell(text=words.readable(one.ablation)),
                    *map(_cell, (one.first_effect, one.second_effect, one.both,
                                 one.interaction)),
                    Cell(text=one.reading),
                ),
            )
            for one in found
        ),
    )  # fmt: skip


def _cell(found: Interval | None) -> Cell:
    if found is None:
        return Cell(text=words.MISSING)
    return Cell(text=words.number(found.mean), below=words.spread(found))
