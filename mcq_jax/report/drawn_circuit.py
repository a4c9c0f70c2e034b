"""The circuit drawn as one hypothesis, its test, and the paths into its heads."""

from mcq_jax.metrics import Interval
from mcq_jax.report import circuit_figure, words
from mcq_jax.report.section import Plate, Section, Titled
from mcq_jax.report.table import Cell, Row, Table
from mcq_jax.results import (
    DrawnCircuitFindings,
    DrawnEdge,
    DrawnFound,
    PathFound,
    RunResults,
)

_SCOPE = (
    "The drawn circuit is one at the answer position: what earlier tokens hold is "
    "given, as in the one prompt or the other, and how they came to it is not drawn. "
    "Nodes that are no candidates write what they write for the other order."
)
_MOST = 24
_KINDS = {
    "drawn": "the drawn edges",
    "next_best": "the next in rank",
    "random": "other random edges of the same sorts",
    "random_paths": "edges on random paths",
    "every edge": "every edge among the candidates",
}


def section(run: RunResults) -> Section | None:
    found = run.get(DrawnCircuitFindings)
    if found is None:
        return None
    held_out = words.count(found.held_out_questions, "question")
    return Section(
        anchor="drawn_circuit",
        short="Circuit",
        title="The circuit as one hypothesis",
        text=_text(found),
        figures=(
            Plate(
                name="circuit_drawing",
                title="The circuit",
                caption="Layers from left to right, roles from top to bottom "
                "(correct-letter heads, amplifiers and late heads, content gatherers, "
                "other heads, feed-forward blocks); layers without a node are left "
                "out. Arrows carry the news; every other edge is resampled. Width: "
                "what an edge does alone."
                + _largest(len(found.edges), circuit_figure.MOST_EDGES),
                sample=f"chosen on {words.count(found.questions, 'question')}, tested "
                f"on {held_out}",
                draw=lambda run: circuit_figure.circuit(found),
                in_overview=True,
            ),
        )
        if found.edges
        else (),
        tables=()
        if found.refused
        else (
            Titled(
                table=_sets(found.sets),
                title="How much of the effect the edges carry",
                note="Held-out questions. Enough: in the other order's run these edges "
                "carry the prompt's own news. Needed: in the prompt's run they carry "
                "the other order's.",
            ),
            Titled(
                table=_edges(found.edges[:_MOST]),
                title="Edges, by what each does alone",
                note="Shares of the effect on the fitting questions. Of two routes of "
                "which either is enough, noising one shows nothing, and denoising it "
                "all." + _more(len(found.edges) - _MOST),
            ),
            *_paths(found.paths),
        ),
        scope=(_SCOPE,),
        experiment="drawn_circuit",
    )


def _text(found: DrawnCircuitFindings) -> str:
    if found.refused:
        return f"No shares: {found.refused}"
    said = (
        f"{words.count(len(found.edges), 'edge')} of {found.candidates:,} that there "
        f"could be among {words.count(len(found.roles), 'node')} and six kinds of "
        f"tokens recover {words.number(found.reached)} of what all of them do on the "
        f"fitting questions (asked: {words.number(found.share)}). "
    )
    for way, lost in found.contrast.items():
        said += (
            f"All nodes from the other order, read by the {way} of the correct-letter "
            f"heads alone, take {words.number(lost.mean)} ({words.spread(lost)}) from "
            "their score contrast. "
        )
    return said


def _sets(sets: tuple[DrawnFound, ...]) -> Table:
    return Table(
        columns=("edges", "how many", "enough", "needed"),
        rows=tuple(
            Row(
                name=_KINDS.get(one.kind, one.kind),
                cells=(
                    Cell(text=f"{one.size:,}"),
                    _cell(one.sufficiency),
                    _cell(one.necessity),
                ),
                mark="selected" if one.kind == "drawn" else "",
            )
            for one in sets
        ),
    )


def _edges(edges: tuple[DrawnEdge, ...]) -> Table:
    return Table(
        columns=("edge", "noised", "denoised"),
        rows=tuple(
            Row(
                name=one.edge.replace("->", "→"),
                cells=(
                    Cell(text=words.number(one.noised, 3)),
                    Cell(text=words.number(one.denoised, 3)),
                ),
            )
            for one in edges
        ),
    )


def _paths(paths: tuple[PathFound, ...]) -> tuple[Titled, ...]:
    if not paths:
        return ()
    rows = tuple(
        Row(
            name=one.senders,
            cells=(Cell(text=one.into), _cell(one.score), _cell(one.net)),
        )
        for one in paths
    )
    return (
        Titled(
            table=Table(
                columns=("nodes", "read by", "of the score contrast", "of the effect"),
                rows=rows,
            ),
            title="Paths into the correct-letter heads",
            note="What some nodes write comes from another order of the options, as "
            "these heads' queries or label keys alone read it. Score contrast: score "
            "of the right label less that of the others, as a share of what all nodes "
            "do; of the effect: net logits. Held-out questions; best: on the fitting "
            "ones. A dash: the denominator may be 0.",
        ),
    )


def _cell(found: Interval | None) -> Cell:
    if found is None:
        return Cell(text=words.MISSING)
    return Cell(text=words.number(found.mean), below=words.spread(found))


def _largest(count: int, most: int) -> str:
    return f" The {most} largest of {count:,} edges." if count > most else ""


def _more(over: int) -> str:
    return f" {over} more are in the file of findings." if over > 0 else ""
