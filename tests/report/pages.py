"""A page as a browser sees it: elements with their attributes, and the text."""

import html.parser
import pathlib

import pytest

from mcq_jax.report import section, write_report
from mcq_jax.results import RunResults


class Page(html.parser.HTMLParser):
    """Elements as (tag, attributes), texts by the elements that they stand in."""

    def __init__(self, source: str):
        super().__init__()
        self.source = source
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[tuple[str, ...], str]] = []
        self.open: list[str] = []
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data):
        self.texts.append((tuple(self.open), data))

    def text(self, within: str = "body") -> str:
        """Returns the text that stands inside elements of this name."""
        return " ".join(text for inside, text in self.texts if within in inside)

    def ids(self) -> set[str | None]:
        return {attributes.get("id") for _, attributes in self.elements}


def written(run: RunResults, folder: pathlib.Path) -> Page:
    """Writes the report of a run and reads its page."""
    return Page(write_report(run, folder).read_text(encoding="utf-8"))


def without_figures(run: RunResults, folder: pathlib.Path) -> Page:
    """The same in no time: where figures would be, nothing is drawn."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(section, "draw", _draw_nothing)
        return written(run, folder)


def _draw_nothing(plate: section.Plate, run: RunResults, folder: pathlib.Path):
    return section.Drawing(plate=plate, svg="<svg></svg>", width=1)
