"""`Section`: one part of the page, which belongs to one experiment."""

import dataclasses
import pathlib
import re
from collections.abc import Callable, Mapping
from typing import Any

from matplotlib.figure import Figure

from mcq_jax.report import canvas, words
from mcq_jax.report.cards import Card
from mcq_jax.report.claims import Claim
from mcq_jax.report.table import Table
from mcq_jax.results import RunResults

# Rows of a long table that stand open.
FIRST_ROWS = 12


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plate:
    """One figure, not drawn yet, with title, caption and sample."""

    name: str  # of its file, and its anchor in the page
    title: str
    caption: str
    sample: str  # "n = ..."
    draw: Callable[[RunResults], Figure]
    # Whether it stands on the first screen, above all sections, and not in its own.
    in_overview: bool = False

    def __post_init__(self):
        check_name("a figure", self.name)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Drawing:
    """A figure that was drawn, as the page takes it."""

    plate: Plate
    svg: str
    width: int  # CSS pixels


@dataclasses.dataclass(frozen=True, kw_only=True)
class Attached:
    """A page by itself, written beside the report and linked from it."""

    name: str  # of its file
    title: str
    text: str

    def __post_init__(self):
        check_name("a file beside the report", self.name)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Titled:
    """A table of a section, with what stands above and below it."""

    table: Table
    title: str = ""
    note: str = ""
    # How many rows stand open, the others behind a click; None: all of them.
    shown: int | None = None

    @property
    def open(self) -> Table:
        """The rows that are seen at once."""
        return self._part(slice(None, self.shown))

    @property
    def folded(self) -> Table:
        """The others."""
        return self._part(slice(len(self.open.rows), None))

    def _part(self, part: slice) -> Table:
        return dataclasses.replace(self.table, rows=self.table.rows[part])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section:
    """What one experiment has to say; all text is plain and escaped on the page."""

    anchor: str
    # In the navigation, and above the section.
    short: str
    title: str
    text: str = ""
    figures: tuple[Plate, ...] = ()
    tables: tuple[Titled, ...] = ()
    claims: tuple[Claim, ...] = ()
    cards: tuple[Card, ...] = ()
    # Pages of their own, which may run scripts: the report itself runs none.
    attached: tuple[Attached, ...] = ()
    # What this section does not show, for the box at the end.
    scope: tuple[str, ...] = ()
    # The experiment whose findings it shows, where that has no section in this package.
    experiment: str = ""
    # How it is laid out, and what that template reads beyond the fields above.
    template: str = "section.html"
    values: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        check_name("the anchor of a section", self.anchor)


def check_name(what: str, name: str) -> None:
    """Raises ValueError unless a name can be that of a file and of an anchor."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name) or name.startswith("."):
        raise ValueError(
            f"{what} is called {name!r}; give a name of letters, digits, '_', '-' and "
            "'.', for it names a file and a place in the page."
        )


def as_name(text: str) -> str:
    """Returns such a name for any text: what cannot stand in one, by its number."""
    return re.sub(r"[^A-Za-z0-9_-]", lambda found: f".{ord(found[0]):x}", text)


def draw(plate: Plate, run: RunResults, folder: pathlib.Path) -> Drawing:
    """Writes the figure as a PNG into the folder; returns it as SVG for the page."""
    figure = plate.draw(run)
    canvas.save_png(figure, folder / f"{plate.name}.png")
    return drawing_of(plate, figure)


def drawing_of(plate: Plate, figure: Figure) -> Drawing:
    """Returns a figure whose layout stands, as SVG for the page."""
    # Working the layout out anew would take a third of the time.
    figure.set_layout_engine("none")
    return Drawing(
        plate=plate,
        svg=canvas.to_svg(figure, plate.name),
        width=round(figure.get_figwidth() * canvas.PIXELS_PER_INCH),
    )


def prompts_asked(run: RunResults) -> str:
    """Returns the sample of figures about all prompts."""
    return (
        f"n = {words.count(run.about.questions, 'question')}, "
        f"{words.count(run.about.prompts, 'prompt')}"
    )
