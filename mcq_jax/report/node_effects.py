"""Which nodes matter? Every node's direct and total effects."""

import math

from mcq_jax.report import node_figures, palette, picks, scales, words
from mcq_jax.report.section import Plate, Section
from mcq_jax.report.table import Cell, Row, Table, effect_cell
from mcq_jax.results import NodeEffectsFindings, NodeFound, RunResults

_SCOPE = (
    "Effects are measured at the answer position, given the source prompt's own "
    "earlier positions. What is computed at earlier tokens, and only read here, is "
    "not among these nodes."
)


def section(run: RunResults) -> Section | None:
    if not picks.has_nodes(run):
        return None
    figures = [_node_map(run), _direct_and_total(run)]
    if {"rotation", "placebo"} <= {*picks.source_kinds(run)}:
        figures.append(_three_kinds(run))
    return Section(
        anchor="nodes",
        short="Nodes",
        title="Which nodes matter?",
        figures=tuple(figures),
        scope=(_SCOPE, *_filtered(run)),
        template="node_effects.html",
        values={
            "table": _table(run),
            "rankings": _rankings(run),
            "shown": len(picks.top_nodes(run)),
            "effects": run.effects,
        },
    )


def _filtered(run: RunResults) -> tuple[str, ...]:
    about, behaviour = run.about, run.behaviour
    if about.are_pairs or not about.filters or behaviour is None:
        return ()
    return (
        f"Node effects are of questions that the model answers in every rotation "
        f"({behaviour.kept_questions} of {about.questions}); questions that it gets "
        "wrong may run through other nodes.",
    )


def _effects(run: RunResults) -> str:
    return (
        f"n = {words.count(run.need(NodeEffectsFindings).questions, 'question')}, "
        f"{words.count(run.need(NodeEffectsFindings).prompts, 'prompt')}"
    )


def _node_map(run: RunResults) -> Plate:
    return Plate(
        name="node_map",
        title="Direct effect of every node",
        caption="Each square is one head or feed-forward block at the answer position: "
        "blue writes against the right letter, orange for it. Colour goes with the "
        "square root, so that small effects stay visible. Outlined: selected. "
        "Small: the 95 % interval includes 0.",
        sample=_effects(run),
        draw=node_figures.node_map,
    )


def _direct_and_total(run: RunResults) -> Plate:
    return Plate(
        name="direct_and_total",
        title="What a node writes, and what it causes",
        caption="On the dashed line a node acts by what it writes itself. Above it, "
        "later nodes carry its effect on; below it, they make up for its loss. Thin "
        "bars: 95 % intervals of selected nodes.",
        sample=_effects(run),
        draw=node_figures.direct_and_total,
    )


def _three_kinds(run: RunResults) -> Plate:
    kinds = picks.source_kinds(run)
    meanings = [f"{kind}: {words.SOURCE_MEANINGS.get(kind, '')}" for kind in kinds]
    return Plate(
        name="three_kinds",
        title="Pointer or content?",
        caption="Kinds of source that a node is patched from: "
        f"{'; '.join(meanings)}. A pointer node reacts to where the answer stands, a "
        "content node to what it is. Bars: 95 % intervals.",
        sample=_effects(run),
        draw=node_figures.three_kinds,
    )


def _table(run: RunResults) -> Table:
    """Returns the foremost nodes, with every effect."""
    kinds, main = picks.source_kinds(run), picks.main_kind(run)
    found = picks.top_nodes(run)
    end = scales.largest([picks.direct(node, kind) for node in found for kind in kinds])
    return Table(
        columns=(
            "node",
            "class",
            *(f"DE {kind}" for kind in kinds),
            f"TE {main}",
            "ΔNLL",
            "outside",
            "inside",
            "D",
            "p",
        ),
        rows=tuple(_node_row(node, kinds, main, end) for node in found),
    )


def _node_row(node: NodeFound, kinds: tuple[str, ...], main: str, end: float) -> Row:
    losses = (node.loss, node.loss_outside, node.loss_inside)
    return Row(
        name=node.name,
        cells=(
            Cell(text=words.readable(picks.role(node))),
            *(effect_cell(node.direct.get(kind), end) for kind in kinds),
            effect_cell(node.total.get(main)),
            *(effect_cell(loss, digits=3) for loss in losses),
            Cell(text=words.signed(node.selectivity)),
            Cell(text=words.p_value(node.p_value)),
        ),
        mark="selected" if node.selected else "",
        role=palette.class_role(picks.role(node)),
    )


def _rankings(run: RunResults, size: int = 6) -> tuple[tuple[str, Table], ...]:
    """Returns three rankings: by promotion, letter prior and selectivity.

    A ranking by mean net effect alone cannot see nodes that lift one letter or all.
    """
    readings = (
        ("Lifts all letters: promotion", lambda node: node.promotion),
        ("Likes a letter: range of the prior", _prior_range),
        ("Lifts the right letter: selectivity D", lambda node: node.selectivity),
    )
    return tuple((title, _ranking(run, read, size)) for title, read in readings)


def _prior_range(node: NodeFound) -> float:
    finite = [value for value in node.letter_prior if math.isfinite(value)]
    return max(finite) - min(finite) if finite else math.nan


def _ranking(run: RunResults, read, size: int) -> Table:
    known = [node for node in run.nodes if math.isfinite(read(node))]
    first = sorted(known, key=lambda node: -abs(read(node)))[:size]
    end = scales.largest([read(node) for node in first])
    return Table(
        columns=("node", "logits"),
        rows=tuple(
            Row(
                name=node.name,
                cells=(Cell(text=words.signed(read(node)), bar=read(node) / end),),
                mark="selected" if node.selected else "",
                role=palette.class_role(picks.role(node)),
            )
            for node in first
        ),
    )
