"""Queries and keys to turn by hand: text stays text, in the file and in a browser."""

import json
import pathlib
import re

import numpy as np
import pytest

from mcq_jax.report import ladder_cloud, write_report
from mcq_jax.results import Cloud, LadderFindings, LadderFound, Point
from tests.report import attacks, examples, test_browser
from tests.results.test_findings import filled

pytest.importorskip("plotly")
LETTERS = "ABCD"


def found(said: str = "", prompts: int = 8) -> LadderFindings:
    """One set with a cloud in which every text begins with something."""
    generator = np.random.default_rng(0)
    points = []
    for prompt in range(prompts):
        gold = prompt % 4
        for line in (gold, *range(4)):
            where = generator.normal(size=(2, 3)).tolist()
            points.append(
                Point(
                    is_query=len(points) % 5 == 0, optimal=tuple(where[0]),
                    random=tuple(where[1]), place=line, letter=said + LETTERS[line],
                    gold_letter=said + LETTERS[gold], seen=line > gold, prompt=prompt,
                )
            )  # fmt: skip
    cloud = Cloud(
        head="L2H3", prompts=tuple(f"{said} prompt\n{i}" for i in range(prompts)),
        points=tuple(points), kept=0.9, kept_random=0.1, separable=1.0,
        separable_random=0.5,
    )  # fmt: skip
    one = filled(LadderFound, cloud=cloud, prompts=said or "main")
    return filled(LadderFindings, sets=(one,))


def drawing_of(text: str) -> dict:
    [line] = re.findall(r"^const drawing = (.*);$", text, re.MULTILINE)
    return json.loads(line)


def test_the_file_holds_every_point_once_for_each_colouring_and_subspace():
    [one] = found().sets
    file = ladder_cloud.interactive(one, "heads.html")
    assert file is not None and one.cloud is not None
    drawing = drawing_of(file.text)
    by = {trace["meta"] for trace in drawing["data"]}
    assert by == {"gold letter", "label", "place", "right option seen before"}
    for colouring in by:
        for scene in ("scene", "scene2"):
            shown = [
                trace
                for trace in drawing["data"]
                if (trace["meta"], trace["scene"]) == (colouring, scene)
            ]
            assert sum(len(t["x"]) for t in shown) == len(one.cloud.points)
    [menu] = drawing["layout"]["updatemenus"]
    for button in menu["buttons"]:
        [change] = button["args"]
        kept = zip(change["visible"], drawing["data"], strict=True)
        assert {t["meta"] for is_on, t in kept if is_on} == {button["label"]}


def test_text_of_prompts_and_labels_stays_text():
    attack = attacks.HOSTILE + "</script><script>alert(3)</script>"
    [one] = found(attack).sets
    file = ladder_cloud.interactive(one, "heads.html")
    assert file is not None
    # What the library does not bring itself: no markup but the page's own.
    own = file.text[file.text.rindex("<script>") :]
    assert "<" not in drawing_line(own) and "alert(3)" in own
    assert file.text.count("alert(1)") == own.count("alert(1)") + 2  # title, heading
    said = drawing_of(file.text)["data"][0]["text"][0]
    assert "<script" not in said and "&lt;script" in said and "<br>" in said


def drawing_line(own: str) -> str:
    [line] = [line for line in own.splitlines() if line.startswith("const drawing")]
    return line


@pytest.mark.slow
def test_the_report_links_the_file_and_runs_no_script_itself(tmp_path: pathlib.Path):
    run = examples.changed(examples.planted(), ladder=found())
    page = write_report(run, tmp_path).read_text(encoding="utf-8")
    assert 'href="ladder-heads-1.html"' in page and "<script" not in page
    text = (tmp_path / "ladder-heads-1.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in text and "src=" not in text.split("<script>")[0]
    assert (tmp_path / "figures" / "ladder-cloud-1.png").stat().st_size > 10_000


def test_without_points_there_is_no_file():
    [one] = filled(LadderFindings).sets
    assert ladder_cloud.interactive(one, "heads.html") is None


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.skipif(test_browser.CHROMIUM is None, reason="no chromium here")
def test_the_file_is_drawn_in_a_browser_and_fetches_nothing(
    tmp_path: pathlib.Path, monkeypatch
):
    """With a software renderer, since there is no other on machines without one."""
    drawn = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader")
    quiet = tuple(f for f in test_browser.QUIET if f != "--disable-gpu")
    monkeypatch.setattr(test_browser, "QUIET", (*quiet, *drawn))
    with test_browser.listener() as (port, asked):
        [one] = found(test_browser.attack(port)).sets
        file = ladder_cloud.interactive(one, "heads.html")
        assert file is not None
        # As if the pointer rested on a point, and another colouring were chosen.
        hover = (
            "<script>setTimeout(() => { const d = document.getElementById('drawing');"
            "document.querySelectorAll('.updatemenu-button')[1]?.dispatchEvent("
            "new MouseEvent('click', {bubbles: true})); }, 1500)</script></body>"
        )
        page = tmp_path / "heads.html"
        page.write_text(file.text.replace("</body>", hover), encoding="utf-8")
        dom = test_browser.browse(page, tmp_path / "profile")
        assert 'data-drawn="' in dom
        assert f"<body {test_browser.RAN}" not in dom
        assert f' {test_browser.RAN}=""' not in dom.partition("<body")[2][:300]
        assert asked == []
