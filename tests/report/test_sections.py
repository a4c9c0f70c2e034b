"""The page of any findings: its sections, and the names of their places."""

import dataclasses
import itertools
from collections.abc import Iterable

import pytest

from mcq_jax.report import behaviour_figures, section, sections
from mcq_jax.report.page import environment
from mcq_jax.report.section import Plate, Section, Titled
from mcq_jax.report.table import Row, Table
from mcq_jax.results import KINDS, RunResults
from tests.report import attacks, examples, pages

EVERY = attacks.every_experiment()
ALONE = [(name,) for name in KINDS]
BUT_ONE = list(itertools.combinations(KINDS, len(KINDS) - 1))


def _run_of(names: Iterable[str]) -> RunResults:
    values = {name: EVERY.records[name].values for name in names}
    return examples.results(EVERY.about, values, {})


def test_any_of_the_experiments_together_have_sections():
    for size in (0, 1, 2, len(KINDS) - 1, len(KINDS)):
        for names in itertools.combinations(KINDS, size):
            found = sections.sections(_run_of(names))
            shown = {each.anchor for each in found}
            # What tells of nodes waits for an open gate.
            waits = {"behaviour", "earlier_positions"} <= set(names)
            assert ("earlier_positions" in shown) == waits
            assert ("routes" in shown) == ("routes" in names)


@pytest.mark.slow
def test_without_any_one_of_the_experiments_the_page_is_whole(tmp_path):
    for names in ((), *BUT_ONE, tuple(KINDS)):
        page = pages.without_figures(_run_of(names), tmp_path)
        assert page.open == [] and {"asked", "sure"} <= page.ids()


@pytest.mark.parametrize("shown", [None, 0, 3, 20, 50])
def test_a_long_table_is_whole_on_the_page_and_its_first_rows_stand_open(shown):
    names = [f"row {number}" for number in range(20)]
    table = Table(columns=("name",), rows=tuple(Row(name=n, cells=()) for n in names))
    titled = Titled(table=table, shown=shown)
    alone = Section(anchor="long", short="Long", title="Long", tables=(titled,))
    template = environment().get_template(alone.template)
    seen = pages.Page(template.render(section=alone))
    cells = [
        (text, "details" in inside) for inside, text in seen.texts if "th" in inside
    ]
    found = [(text, is_folded) for text, is_folded in cells if text in names]
    assert [text for text, _ in found] == names
    assert [text for text, is_folded in found if not is_folded] == names[:shown]
    assert ("details" in dict(seen.elements)) == (shown in (0, 3))


@pytest.fixture(scope="module")
def drawn_once():
    """A figure that was drawn for the page of another experiment is taken from it."""
    draw, drawn = section.draw, {}

    def once(plate, run, folder):
        if plate.name not in drawn:
            drawn[plate.name] = draw(plate, run, folder)
        return dataclasses.replace(drawn[plate.name], plate=plate)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(section, "draw", once)
        yield


@pytest.mark.parametrize("names", ALONE, ids=str)
def test_any_one_of_the_experiments_alone_has_a_page_with_its_figures(
    names, tmp_path, drawn_once
):
    page = pages.written(_run_of(names), tmp_path)
    assert page.open == [] and "asked" in page.ids()


def test_two_places_of_one_name_are_refused():
    run = examples.open_gate()
    shown = sections.sections(run)
    names = [plate.name for each in shown for plate in each.figures]
    (again,) = (each for each in shown if each.anchor == "behaviour")
    for changes in (
        dict(anchor="behaviour", figures=()),
        dict(anchor="another", figures=again.figures[:1]),
        dict(anchor=names[0], figures=()),
        dict(anchor="sure", figures=()),
    ):
        other = dataclasses.replace(again, title="Another", **changes)
        with pytest.raises(ValueError, match="'Another'.* have a place called"):
            sections.sections(run, [lambda run: other])  # noqa: B023


def test_a_name_that_is_no_name_of_a_file_is_refused():
    for name in ("../x", "a b", '"', "", ".."):
        with pytest.raises(ValueError, match="names a file and a place"):
            Plate(
                name=name,
                title="",
                caption="",
                sample="",
                draw=behaviour_figures.gold_by_letter,
            )
        with pytest.raises(ValueError, match="names a file and a place"):
            Section(anchor=name, short="", title="")


def test_experiments_whose_names_differ_little_have_places_of_their_own():
    values = {
        name: {"share": 0.5} for name in ("my one", "my-one", "my.one", "my.20one")
    }
    run = examples.changed(examples.open_gate(), **values)
    anchors = [each.anchor for each in sections.sections(run)]
    assert len(anchors) == len(set(anchors)) >= len(values)


def test_a_colour_that_is_none_of_ours_is_refused():
    with pytest.raises(ValueError, match="no colour"):
        Row(name="x", cells=(), role="x);background:url(//somewhere)")
