"""The sections of the page, in its order: one line per experiment."""

from collections.abc import Callable, Sequence

from mcq_jax.report import (
    about,
    behaviour,
    generic,
    head_classes,
    head_kinds,
    joint_tests,
    node_effects,
    planted_truth,
    query_swaps,
    routes,
    timing,
)
from mcq_jax.report.section import Section
from mcq_jax.results import KINDS, RunResults

MakeSection = Callable[[RunResults], Section | None]

SECTIONS: tuple[MakeSection, ...] = (
    about.section,
    planted_truth.section,
    behaviour.section,
    node_effects.section,
    joint_tests.section,
    head_classes.section,
    head_kinds.section,
    routes.section,
    query_swaps.section,
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
    return (*own, *others, *((last,) if last else ()))
