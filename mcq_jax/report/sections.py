"""The sections of the page, in its order: one line per experiment."""

from collections.abc import Callable, Sequence

from mcq_jax.report import (
    about,
    behaviour,
    cloze,
    content_route,
    decide_then_bind,
    drawn_circuit,
    earlier_positions,
    elsewhere,
    feed_forward,
    generic,
    head_classes,
    head_kinds,
    joint_tests,
    ladder,
    learned_subspaces,
    mutation_grid,
    node_effects,
    paper_claims,
    planted_truth,
    query_swaps,
    routes,
    score_parts,
    self_repair,
    timing,
    transfer,
)
from mcq_jax.report.section import Section
from mcq_jax.results import KINDS, RunResults

# Of the box at the end, which says how sure all this is.
LAST_ANCHOR = "sure"

MakeSection = Callable[[RunResults], Section | None]

SECTIONS: tuple[MakeSection, ...] = (
    about.section,
    paper_claims.section,
    planted_truth.section,
    behaviour.section,
    cloze.section,
    node_effects.section,
    joint_tests.section,
    feed_forward.section,
    head_classes.section,
    head_kinds.section,
    routes.section,
    query_swaps.section,
    ladder.section,
    self_repair.section,
    elsewhere.section,
    transfer.section,
    mutation_grid.section,
    score_parts.section,
    learned_subspaces.section,
    decide_then_bind.section,
    content_route.section,
    drawn_circuit.section,
    earlier_positions.section,
)


def sections(run: RunResults, extra: Sequence[MakeSection] = ()) -> tuple[Section, ...]:
    """Returns what these findings can fill, those of other packages before the last.

    Findings without a section of their own are shown as tables of their values.
    """
    own = [made for make in (*SECTIONS, *extra) if (made := make(run)) is not None]
    shown = {section.experiment for section in own} | set(KINDS)
    others = [
        generic.section(name, record)
        for name, record in run.records.items()
        if name not in shown
    ]
    last = timing.section(run)
    found = (*own, *others, *((last,) if last else ()))
    _check_names(found)
    return found


def _check_names(found: Sequence[Section]) -> None:
    """Refuses two sections or figures of one name: one would hide the other."""
    owners = {LAST_ANCHOR: "the page itself"}
    for section in found:
        for name in (section.anchor, *(plate.name for plate in section.figures)):
            owner = f"the section {section.title!r}"
            if name in owners:
                raise ValueError(
                    f"{owners[name]} and {owner} have a place called {name!r}; give "
                    "every section an anchor and every figure a name of its own."
                )
            owners[name] = owner
