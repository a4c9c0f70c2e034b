"""A blank figure in the house style, and its way to a PNG and into the page.

No pyplot: figures are objects, drawn by Agg, and no setting stays changed. The page
gets inline SVG whose colours are CSS variables, whose text is text, and whose marks
carry a title that a browser shows when the pointer rests on them.
"""

import functools
import io
import pathlib
import re
import typing
from xml.etree import ElementTree

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mcq_jax.report import palette
from mcq_jax.results import write_whole

PIXELS_PER_INCH = 96  # of CSS: an inch of a figure is an inch of the page
PNG_DOTS_PER_INCH = 160

_TIP = "tip:"
# Characters that a name may hold and no XML: control characters, half a character.
_NOT_IN_XML = re.compile("[^\\t\\n\\r\\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# Where one element names another: `url(#name)`, `href="#name"`.
_REFERENCE = re.compile(r"(?:^|url\()#([^)]+)")
_COLOUR = re.compile(r"((?:fill|stroke): )(#[0-9a-fA-F]{6})")
_STYLE: dict[typing.Any, typing.Any] = {
    "font.size": 9,
    "font.family": "sans-serif",
    "text.color": palette.INK,
    # A dollar sign in a name is a dollar sign.
    "text.parse_math": False,
    "axes.edgecolor": palette.RULE,
    "axes.facecolor": "none",
    "axes.labelcolor": palette.MUTED,
    "axes.labelsize": 9,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "figure.facecolor": "none",
    "grid.color": palette.RULE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.solid_capstyle": "round",
    "xtick.color": palette.RULE,
    "ytick.color": palette.RULE,
    "xtick.labelcolor": palette.MUTED,
    "ytick.labelcolor": palette.MUTED,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "svg.fonttype": "none",
}

Draw = typing.TypeVar("Draw", bound=typing.Callable[..., Figure])


def styled(draw: Draw) -> Draw:
    """Runs a function that makes a figure under the house style, and only it."""

    @functools.wraps(draw)
    def run(*arguments, **keywords):
        with matplotlib.rc_context(_STYLE):
            return draw(*arguments, **keywords)

    return typing.cast(Draw, run)


def new_figure(width: float, height: float) -> Figure:
    """Returns an empty figure, sizes in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def tip(artist: Artist, text: str) -> None:
    """Says what the page shows when the pointer rests on this mark."""
    artist.set_gid(_TIP + text)


def zero_lines(axes: Axes) -> None:
    for line in (axes.axhline, axes.axvline):
        line(0, color=palette.PALE, linewidth=0.8, zorder=0)


def bare(axes: Axes) -> None:
    """Takes away frame and tick marks, where cells speak for themselves."""
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0)


def save_png(figure: Figure, file: pathlib.Path) -> None:
    """Writes the figure in light colours."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(_STYLE):
        figure.savefig(
            buffer, format="png", dpi=PNG_DOTS_PER_INCH, facecolor=palette.PAPER
        )
    write_whole(file, buffer.getvalue())


def to_svg(figure: Figure, name: str) -> str:
    """Returns SVG to be put into the page; `name` keeps its identifiers its own."""
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    # Ticks are made while drawing, so the style must hold here too.
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata=nothing)
    drawing = _parsed(buffer.getvalue())
    for metadata in drawing.findall("metadata"):
        drawing.remove(metadata)
    _title_marks(drawing)
    _drop_idle_names(drawing)
    _exchange_colours(drawing)
    width = figure.get_figwidth() * PIXELS_PER_INCH
    box = drawing.attrib["viewBox"]
    style = f"--natural:{width:.0f}px"
    drawing.attrib = {"class": "drawing", "viewBox": box, "style": style}
    return ElementTree.tostring(drawing, encoding="unicode")


def _parsed(text: str) -> ElementTree.Element:
    """The drawing as elements whose names are those of HTML, without namespaces."""
    drawing = ElementTree.fromstring(_NOT_IN_XML.sub("\ufffd", text))
    for element in drawing.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.attrib = {
            name.rpartition("}")[2]: value for name, value in element.attrib.items()
        }
    return drawing


def _title_marks(drawing: ElementTree.Element) -> None:
    """What a mark says stands in its identifier, for there is no other place."""
    for mark in drawing.iter("g"):
        name = mark.get("id", "")
        if name.startswith(_TIP):
            mark.attrib = {"class": "tip"}
            title = ElementTree.Element("title")
            title.text = name.removeprefix(_TIP)
            mark.insert(0, title)


def _drop_idle_names(drawing: ElementTree.Element) -> None:
    """Drops identifiers that nothing refers to: the same ones are in every figure."""
    values = [value for each in drawing.iter() for value in each.attrib.values()]
    used = {name for value in values for name in _REFERENCE.findall(value)}
    for element in drawing.iter():
        if element.get("id", "") not in used:
            element.attrib.pop("id", None)


def _exchange_colours(drawing: ElementTree.Element) -> None:
    """Exchanges the light colours for the variables that hold either version."""
    roles = {pair[0]: name for name, pair in palette.VARIABLES.items()}

    def exchange(match: re.Match) -> str:
        role = roles.get(match[2].lower())
        return f"{match[1]}var(--{role})" if role else match[0]

    for element in drawing.iter():
        if "style" in element.attrib:
            style = element.attrib["style"]
            style = style.replace("stroke: #000000; stroke-opacity: 0", "stroke: none")
            element.attrib["style"] = _COLOUR.sub(exchange, style)
