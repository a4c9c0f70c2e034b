import dataclasses
import math
import re
import subprocess
import sys

import pytest

from mcq_jax import report
from mcq_jax.report import sections
from mcq_jax.results import (
    BehaviourFindings,
    RunResults,
    verdict,
)
from tests.report import examples, pages


def _plates(run: RunResults) -> list:
    return [plate for section in sections.sections(run) for plate in section.figures]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def page(folder):
    return pages.written(examples.open_gate(), folder)


@pytest.fixture(scope="module")
def closed_page(tmp_path_factory):
    """The gate is closed although nodes were measured: none may be told of."""
    found, closed = examples.open_gate(), examples.closed_gate()
    found = examples.changed(found, gate=closed.gate)
    return pages.written(found, tmp_path_factory.mktemp("closed"))


def test_the_page_needs_no_network_no_script_and_no_other_file(page):
    assert "http://" not in page.source and "https://" not in page.source
    assert not {"script", "link", "iframe", "img", "image"} & {
        tag for tag, _ in page.elements
    }
    for _, attributes in page.elements:
        assert "src" not in attributes
        for name in ("href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith("#")
    assert "@import" not in page.source
    assert re.findall(r"url\((?!#)", page.source) == []


def test_every_element_is_closed_where_it_should_be(page):
    assert page.open == []  # the parser has checked each closing tag


def test_links_within_the_page_arrive(page):
    targets = [
        attributes[name]
        for _, attributes in page.elements
        for name in ("href", "xlink:href")
        if attributes.get(name)
    ]
    assert targets and {target[1:] for target in targets} <= page.ids()


def test_identifiers_are_unique(page):
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_every_selected_node_is_named(page):
    chosen = examples.open_gate().selection
    assert chosen is not None
    for name in chosen.nodes:
        assert name in page.text("li") and name in page.text("table")


def test_every_figure_has_a_caption_with_its_sample(page):
    figures = page.source.split("<figure ")[1:]
    assert len(figures) == len(_plates(examples.open_gate()))
    for figure in figures:
        caption = figure.split("<figcaption>")[1].split("</figcaption>")[0]
        assert re.search(r"n = \d+", caption)


def test_every_figure_is_also_a_png(folder, page):
    files = sorted((folder / "figures").iterdir())
    assert {file.stem for file in files} == {
        p.name for p in _plates(examples.open_gate())
    }
    assert {file.stem for file in files} <= page.ids()
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)


def test_figures_change_their_colours_with_the_page(page):
    drawings = "".join(re.findall(r"<svg.*?</svg>", page.source, flags=re.DOTALL))
    assert "var(--blue)" in drawings and "var(--positive-12)" in drawings
    assert re.findall(r"(?:fill|stroke): #", drawings) == []


def test_the_first_screen_holds_verdict_and_key_figures(page):
    header = page.text("header")
    found = examples.open_gate()
    assert verdict(found).sentence in header and found.about.title in header
    for text in ("93.0\u202f%", "74.0\u202f%", "1.83", "null −0.16 to 0.17"):
        assert text in header
    assert "random 0.06, next-best 0.21" in header and "n = 25 held-out" in header


def test_caveats_stand_in_the_box_of_what_is_not_shown(page):
    run = examples.open_gate()
    for section in sections.sections(run):
        for text in section.scope:
            assert text in page.text("aside")


def test_a_closed_gate_tells_of_no_node(closed_page):
    names = [node.name for node in examples.open_gate().nodes]
    assert not any(name in closed_page.source for name in names)
    assert not {"nodes", "set", "heads", "node_map", "gallery"} & closed_page.ids()
    assert {"behaviour", "gate", "gold_by_letter", "letters"} <= closed_page.ids()
    assert "No circuit to find: D lies inside its null" in closed_page.text("main")


@pytest.mark.few
@pytest.mark.parametrize("choices", [2, 10])
def test_any_number_of_choices_has_a_page(choices, tmp_path):
    found = examples.open_gate(layers=3, heads=2, choices=choices)
    page = pages.written(found, tmp_path)
    assert page.text("svg").count(found.about.labels[-1]) >= 2


def test_what_is_missing_is_a_dash_and_what_is_refused_has_a_reason(tmp_path):
    found = examples.open_gate(layers=3, heads=2)
    nothing = examples.estimate(math.nan)
    nodes = tuple(
        dataclasses.replace(node, total={}, selectivity=math.nan, p_value=math.nan)
        for node in found.nodes
    )
    behaviour = dataclasses.replace(
        found.need(BehaviourFindings),
        consistent_accuracy=nothing,
        accuracy_by_gold=(0.9, 0.8, math.nan, math.nan),
        letter_prior=(math.nan,) * 4,
        gold_by_letter=((1.0, -1.0, 0.0, 0.0), *[(math.nan,) * 4] * 3),
    )
    refused = tuple(
        dataclasses.replace(
            joint, sufficiency=None, necessity=None, refused="its interval includes 0"
        )
        for joint in found.sets
    )
    found = examples.changed(found, nodes=nodes, sets=refused, behaviour=behaviour)
    page = pages.written(found, tmp_path)
    assert "its interval includes 0" in page.text("header")
    assert "refused: its interval includes 0" in page.text("table")
    assert "recovery" not in page.ids()
    assert "nan" not in re.sub(r"[a-z]nan|nan[a-z]", "", page.text().lower())
    assert page.text("table").count("–") > len(nodes)


def test_without_matplotlib_the_error_says_what_to_install(tmp_path, monkeypatch):
    drawing = [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]
    ours = [name for name in sys.modules if name.startswith("mcq_jax.report.")]
    for name in (*drawing, *ours):
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for room in ("section", "sections"):
        monkeypatch.delattr(report, room, raising=False)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'mcq-jax\[report\]'"):
        report.write_report(examples.closed_gate(), tmp_path)


def test_importing_the_room_does_not_load_matplotlib():
    code = "import sys, mcq_jax.report; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_policy_of_the_page_forbids_scripts_and_all_that_is_fetched(page):
    (policy,) = (
        attributes["content"]
        for tag, attributes in page.elements
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None and policy.startswith("default-src 'none';")
    assert "script" not in policy and "http" not in policy


def test_every_section_is_in_the_navigation(page):
    for section in sections.sections(examples.open_gate()):
        assert section.anchor in page.ids()
        assert section.short in page.text("nav")


@pytest.mark.parametrize("ended", range(5))
def test_a_run_that_was_stopped_has_a_page_of_what_it_had(ended: int, tmp_path):
    whole = examples.open_gate()
    names = list(whole.records)[:ended]
    found = examples.results(
        whole.about, {name: whole.records[name].values for name in names}, {}
    )
    page = pages.without_figures(found, tmp_path)
    shown = {name for name, anchor in ANCHORS.items() if anchor in page.ids()}
    assert shown == set(names)
    assert whole.about.title in page.text("h1")


ANCHORS = {
    "behaviour": "behaviour",
    "node_effects": "nodes",
    "joint_tests": "set",
    "head_classes": "heads",
}


def test_findings_of_an_experiment_that_is_not_known_are_shown_as_they_are(tmp_path):
    values = {"share": 0.25, "by layer": [1, 2, 3], "heads": [{"name": "L1H2", "n": 3}]}
    found = examples.changed(examples.open_gate(), my_question=values)
    page = pages.without_figures(found, tmp_path)
    assert "experiment-my_question" in page.ids()
    for text in ("0.2500", "L1H2", "by layer"):
        assert text in page.text("table") + page.text("h3").lower()


def test_findings_that_stand_on_others_than_are_there_are_marked(tmp_path):
    run = examples.open_gate()
    record = dataclasses.replace(
        run.records["joint_tests"], needs={"node_effects": "an older key"}
    )
    run = dataclasses.replace(run, records={**run.records, "joint_tests": record})
    page = pages.without_figures(run, tmp_path)
    assert "node_effects changed since" in page.text("p")


def test_findings_from_tables_that_were_made_anew_are_marked():
    def run(read: str, stands_on: str) -> RunResults:
        whole = examples.open_gate()
        records = dict(whole.records)
        for name, needs, table in (
            ("node_effects", {}, stands_on), ("joint_tests", {"node_effects": ""}, read)
        ):  # fmt: skip
            records[name] = dataclasses.replace(
                records[name], needs=needs, tables={"node_effects": (table,)}
            )
        return dataclasses.replace(whole, records=records)

    assert run("a key", "a key").stale == {}
    assert run("a key", "another").stale == {
        "joint_tests": "node_effects changed since; run it again."
    }


def test_a_gate_that_could_not_measure_d_is_drawn_with_its_reason(tmp_path):
    found = examples.closed_gate()
    behaviour = found.need(BehaviourFindings)
    gate = dataclasses.replace(
        behaviour.gate, selectivity=math.nan, null_low=math.nan, null_high=math.nan,
        p_value=math.nan, reason="the right option has the same place everywhere.",
    )  # fmt: skip
    behaviour = dataclasses.replace(behaviour, gate=gate)
    page = pages.written(examples.changed(found, behaviour=behaviour), tmp_path)
    assert "No circuit to find: the right option has the same" in page.text("header")
    assert not re.search(r"\bnan\b", page.text("main"))
