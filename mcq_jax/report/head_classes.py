"""Where the heads look, and what kind of head each one is."""

from mcq_jax.report import head_figures, palette, picks, words
from mcq_jax.report.section import Plate, Section, prompts_asked
from mcq_jax.report.table import Cell, Row, Table
from mcq_jax.results import RunResults

_SCOPE = (
    "A class says where a head looks and what it writes, not which feature of the "
    "prompt it follows; on other text the same heads may do other things."
)
_PAIRS = (
    "Pairs have no labels: heads are not classified, and letter priors and what is "
    "corrected by them mean nothing here."
)


def section(run: RunResults) -> Section | None:
    if not run.heads or not picks.has_nodes(run):
        return None
    classified = head_figures.classified(run)
    return Section(
        anchor="heads",
        short="Heads",
        title="Where the heads look",
        figures=(_gallery(run),) if classified else (),
        scope=(_SCOPE,),
        template="head_classes.html",
        values={
            "roles": _roles(run),
            "table": _table(run),
        },
    )


def _roles(run: RunResults) -> list[tuple[str, str, str]]:
    """Returns the classes that occur: name, role of its colour, meaning."""
    present = {head.head_class for head in run.heads}
    return [
        (name, palette.class_role(name), meaning)
        for name, meaning in words.CLASS_MEANINGS.items()
        if name in present
    ]


def _gallery(run: RunResults) -> Plate:
    size = len(head_figures.classified(run))
    return Plate(
        name="gallery",
        title="Layers × roles",
        caption="A tile per head: rows are the right letter, columns the letter "
        "attended to (share of its attention on labels, the strongest shade is "
        "all of it). A diagonal follows the right answer, a column rests on one "
        "letter, an even tile looks at all alike.",
        sample=f"n = {words.count(size, 'head')}, {prompts_asked(run)[4:]}",
        draw=head_figures.gallery,
        in_overview=True,
    )


def _table(run: RunResults) -> Table:
    """Returns every head that was looked at, and why it has its class."""
    labels = run.about.labels
    return Table(
        columns=("head", "class", "on labels", *(f"s {name}" for name in labels)),
        rows=tuple(
            Row(
                name=head.name,
                cells=(
                    Cell(text=words.readable(head.head_class)),
                    Cell(text=words.percent(head.label_mass)),
                    *(Cell(text=words.signed(value)) for value in head.follows),
                ),
                note=_head_note(head.reason, head.mass_by_class),
                role=palette.class_role(head.head_class),
            )
            for head in run.heads
        ),
    )


def _head_note(reason: str, masses: dict[str, float]) -> str:
    shown = sorted(masses.items(), key=lambda pair: -pair[1])[:3]
    text = ", ".join(
        f"{words.readable(name.lower())} {words.percent(mass)}" for name, mass in shown
    )
    return f"{reason} (attention: {text})" if text else reason
