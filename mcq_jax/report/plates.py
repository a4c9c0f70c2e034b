"""`Plate`: a figure with title, caption and sample; and which ones apply."""

import dataclasses
import pathlib
from collections.abc import Callable

from matplotlib.figure import Figure

from mcq_jax.report import (
    behaviour_figures,
    canvas,
    head_figures,
    node_figures,
    picks,
    recovery_figures,
    run_figures,
    words,
)
from mcq_jax.results import Findings


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plate:
    """One figure of the report, not drawn yet."""

    name: str  # of its file, and its anchor in the page
    title: str
    caption: str
    sample: str  # "n = ..."
    draw: Callable[[Findings], Figure]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Drawing:
    """A figure that was drawn, as the page takes it."""

    plate: Plate
    svg: str
    width: int  # CSS pixels


def plates(findings: Findings) -> tuple[Plate, ...]:
    """Returns the figures that these findings can fill, in the order of the page."""
    found = [_gold_by_letter(findings), _letters(findings), _gate(findings)]
    if picks.has_nodes(findings):
        found += [_node_map(findings), _direct_and_total(findings)]
        if {"rotation", "placebo"} <= {*picks.source_kinds(findings)}:
            found.append(_three_kinds(findings))
        if any(joint.sufficiency or joint.necessity for joint in findings.joint):
            found.append(_recovery(findings))
        if head_figures.classified(findings):
            found.append(_gallery(findings))
    if findings.seconds:
        found.append(_timing(findings))
    return tuple(found)


def draw(plate: Plate, findings: Findings, folder: pathlib.Path) -> Drawing:
    """Writes the figure as a PNG into the folder; returns it as SVG for the page."""
    figure = plate.draw(findings)
    canvas.save_png(figure, folder / f"{plate.name}.png")
    # The layout stands now; working it out anew would take a third of the time.
    figure.set_layout_engine("none")
    return Drawing(
        plate=plate,
        svg=canvas.to_svg(figure, plate.name),
        width=round(figure.get_figwidth() * canvas.PIXELS_PER_INCH),
    )


def _prompts(findings: Findings) -> str:
    asked = findings.asked
    return (
        f"n = {words.count(asked.questions, 'question')}, "
        f"{words.count(asked.prompts, 'prompt')}"
    )


def _effects(findings: Findings) -> str:
    return (
        f"n = {words.count(findings.effect_questions, 'question')}, "
        f"{words.count(findings.effect_prompts, 'prompt')}"
    )


def _gold_by_letter(findings: Findings) -> Plate:
    return Plate(
        name="gold_by_letter",
        title="Gold letter × letter",
        caption="Mean logit of each letter, less the mean over letters, by which "
        "letter is right. A model that binds the answer to its letter lights up the "
        "diagonal; a model that merely likes a letter lights up a column.",
        sample=_prompts(findings),
        draw=behaviour_figures.gold_by_letter,
    )


def _letters(findings: Findings) -> Plate:
    return Plate(
        name="letters",
        title="Letter by letter",
        caption="Dashed: chance. Unequal bars in the lower two panels are a liking "
        "for letters, which says nothing about the question.",
        sample=_prompts(findings),
        draw=behaviour_figures.letters,
    )


def _gate(findings: Findings) -> Plate:
    return Plate(
        name="gate",
        title="The gate: D against its null",
        caption="D is how much higher a letter's logit is when it is right than when "
        f"it is not, mean over letters. Null: {findings.gate.null}. One-sided p "
        f"{words.p_value(findings.gate.p_value)}.",
        sample=_prompts(findings),
        draw=behaviour_figures.gate,
    )


def _node_map(findings: Findings) -> Plate:
    return Plate(
        name="node_map",
        title="Direct effect of every node",
        caption="Each square is one head or feed-forward block at the answer position: "
        "blue writes against the right letter, orange for it. Colour goes with the "
        "square root, so that small effects stay visible. Outlined: selected. "
        "Small: the 95 % interval includes 0.",
        sample=_effects(findings),
        draw=node_figures.node_map,
    )


def _direct_and_total(findings: Findings) -> Plate:
    return Plate(
        name="direct_and_total",
        title="What a node writes, and what it causes",
        caption="On the dashed line a node acts by what it writes itself. Above it, "
        "later nodes carry its effect on; below it, they make up for its loss. Thin "
        "bars: 95 % intervals of selected nodes.",
        sample=_effects(findings),
        draw=node_figures.direct_and_total,
    )


def _three_kinds(findings: Findings) -> Plate:
    kinds = picks.source_kinds(findings)
    meanings = [f"{kind}: {words.SOURCE_MEANINGS.get(kind, '')}" for kind in kinds]
    return Plate(
        name="three_kinds",
        title="Pointer or content?",
        caption="Kinds of source that a node is patched from: "
        f"{'; '.join(meanings)}. A pointer node reacts to where the answer stands, a "
        "content node to what it is. Bars: 95 % intervals.",
        sample=_effects(findings),
        draw=node_figures.three_kinds,
    )


def _recovery(findings: Findings) -> Plate:
    chosen = findings.selection
    held_out = chosen.held_out_questions if chosen else findings.effect_questions
    return Plate(
        name="recovery",
        title="Is the set enough, and is it needed?",
        caption="Sets patched as a whole at the answer position; 1 is the whole "
        "effect, 0 none. Random sets match the selected one in kind and layer; "
        "next-best are the nodes that rank right after it. All nodes together give "
        "exactly 1. Bars and band: 95 % intervals.",
        sample=f"n = {words.count(held_out, 'held-out question')}",
        draw=recovery_figures.recovery,
    )


def _gallery(findings: Findings) -> Plate:
    size = len(head_figures.classified(findings))
    return Plate(
        name="gallery",
        title="Layers × roles",
        caption="A tile per head: rows are the right letter, columns the letter "
        "attended to (share of its attention on labels, the strongest shade is "
        "all of it). A diagonal follows the right answer, a column rests on one "
        "letter, an even tile looks at all alike.",
        sample=f"n = {words.count(size, 'head')}, {_prompts(findings)[4:]}",
        draw=head_figures.gallery,
    )


def _timing(findings: Findings) -> Plate:
    whole = words.duration(sum(findings.seconds.values()))
    return Plate(
        name="timing",
        title="Where the time went",
        caption=f"{whole} in all on {findings.asked.device}.",
        sample=f"n = {words.count(len(findings.seconds), 'stage')}",
        draw=run_figures.timing,
    )
