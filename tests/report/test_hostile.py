"""What a name or a question contains is text, in every part of the page."""

import re

import pytest

from mcq_jax import report
from mcq_jax.report import canvas
from tests.report import attacks, pages


@pytest.mark.slow
def test_hostile_text_stays_text_in_every_part(tmp_path):
    run, extra = attacks.hostile_run(), [attacks.hostile_section()]
    page = pages.Page(
        report.write_report(run, tmp_path, extra=extra).read_text(encoding="utf-8")
    )
    assert not {"script", "img"} & {tag for tag, _ in page.elements}
    assert not any(name.startswith("on") for _, has in page.elements for name in has)
    shown = ("title", "h1", "h2", "h3", "nav", "pre", "li", "table", "figcaption",
             "svg", "dl", "footer", "header")  # fmt: skip
    for within in shown:
        assert attacks.HOSTILE[:19] in page.text(within), within
    (stale,) = (text for inside, text in page.texts if "changed since" in text)
    assert attacks.HOSTILE in stale
    pictures = {file.name for file in tmp_path.rglob("*") if file.is_file()}
    assert all(re.fullmatch(r"[a-z0-9_-]+\.(png|html)", name) for name in pictures)


def test_text_like_the_drawing_of_svg_stays_text_in_a_figure(tmp_path):
    text = 'x id="y" fill: #0072b2 stroke: #000000; stroke-opacity: 0; <metadata> \x01'

    def draw(run):
        figure = canvas.new_figure(4, 2)
        axes = figure.subplots()
        canvas.tip(axes.plot([0, 1], [0, 1], "o", color="#0072b2")[0], text)
        axes.set_title(text.replace("\x01", ""))
        return figure

    svg = canvas.to_svg(canvas.styled(draw)(None), "drawn")
    page = pages.Page(svg)
    (title,) = (said for inside, said in page.texts if inside[-1] == "title")
    assert title == text.replace("\x01", "\ufffd")
    assert text.replace("\x01", "") in page.text("text")
    assert "stroke: var(--blue)" in svg and "xmlns" not in svg
    ids = {has["id"] for _, has in page.elements if "id" in has}
    used = re.findall(r'(?:url\(|href=")#([^")]+)', svg)
    assert ids == set(used)
