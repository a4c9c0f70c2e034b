"""The drawing of a circuit: layers from left to right, roles from top to bottom."""

import collections
import dataclasses
import re

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch

from mcq_jax.interventions import Node
from mcq_jax.report import canvas, palette, words
from mcq_jax.results import DrawnCircuitFindings, DrawnEdge

# Edges drawn at most: the largest. The rest is in the table and the findings.
MOST_EDGES = 60
OUTPUT = "output"
# From top to bottom; a head of no class stands in the last but one.
_LANES = (
    ("correct-letter heads", ("correct_letter", "letter_specific")),
    ("amplifiers and late", ("amplifier", "late", "negative")),
    ("content gatherers", ("content_gatherer",)),
    ("other heads", ()),
    ("feed-forward", ("feed_forward",)),
)
_OTHERS = 3
_LANE = 1.6  # height
_COLOURS = {
    "q": palette.BLUE,
    "k": palette.GREEN,
    "v": palette.ORANGE,
    "mlp_in": palette.GREY,
    OUTPUT: palette.INK,
}
_NAMES = {
    "q": "into queries",
    "k": "into keys",
    "v": "into values",
    "mlp_in": "into feed-forward",
    OUTPUT: "to the answer",
}
_BEND = {"q": 0.10, "k": -0.12, "v": 0.22, "mlp_in": -0.18, OUTPUT: 0.06}


@dataclasses.dataclass(frozen=True)
class _Arrow:
    sender: str
    receiver: str
    site: str
    edge: DrawnEdge

    @property
    def size(self) -> float:
        return abs(self.edge.noised + self.edge.denoised) / 2


@canvas.styled
def circuit(found: DrawnCircuitFindings) -> Figure:
    """Nodes by layer and role, kinds of tokens at the left, the answer at the right."""
    arrows = [_arrow(edge) for edge in found.edges]
    arrows = [arrow for arrow in arrows if arrow.sender != arrow.receiver]
    arrows = sorted(arrows, key=lambda one: -one.size)[:MOST_EDGES]
    places = _places(arrows, found.roles)
    height = max(y for _, y in places.values()) - min(y for _, y in places.values())
    layers = [x for x, _ in places.values()]
    figure = canvas.new_figure(
        min(10.5, 4.2 + 0.75 * len(set(layers))), 1.7 + 0.62 * max(height, 3)
    )
    axes = figure.subplots()
    largest = max((arrow.size for arrow in arrows), default=1.0) or 1.0
    for arrow in reversed(arrows):
        _draw_arrow(axes, arrow, places, arrow.size / largest)
    for name, place in places.items():
        _draw_node(axes, name, place, found.roles)
    _frame(axes, places, found.roles)
    sites = [s for s in _COLOURS if any(arrow.site == s for arrow in arrows)]
    handles = [
        Line2D([], [], color=_COLOURS[s], linewidth=2, label=_NAMES[s]) for s in sites
    ]
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def _arrow(edge: DrawnEdge) -> _Arrow:
    sender, _, to = edge.edge.partition(" -> ")
    receiver, _, site = to.partition(".")
    return _Arrow(sender, receiver, site or OUTPUT, edge)


def _places(
    arrows: list[_Arrow], roles: dict[str, str]
) -> dict[str, tuple[float, float]]:
    """Where everything stands; layers without a node take no room."""
    names = list(dict.fromkeys(n for a in arrows for n in (a.sender, a.receiver)))
    nodes = [n for n in names if n != OUTPUT and _is_node(n)]
    tokens = [n for n in names if n != OUTPUT and not _is_node(n)]
    columns = {
        layer: column
        for column, layer in enumerate(sorted({Node.parse(n).layer for n in nodes}))
    }
    taken: collections.Counter = collections.Counter()
    found: dict[str, tuple[float, float]] = {}
    lanes = sorted({_lane(n, roles) for n in nodes})
    for name in sorted(nodes, key=Node.parse):
        layer, lane = Node.parse(name).layer, _lane(name, roles)
        count = taken[layer, lane]
        taken[layer, lane] += 1
        # Neighbours in one lane stand a little apart, up and down in turn.
        aside = 0.46 * ((count + 1) // 2) * (1 if count % 2 else -1)
        found[name] = (
            float(columns[layer]) + 0.3 * (count % 3),
            -_LANE * lanes.index(lane) + aside,
        )
    low = -_LANE * max(len(lanes) - 1, 1)
    for number, name in enumerate(tokens):
        step = low / max(len(tokens) - 1, 1)
        found[name] = (-1.6, number * step if len(tokens) > 1 else low / 2)
    found[OUTPUT] = (len(columns) + 0.2, low / 2)
    return found


def _is_node(name: str) -> bool:
    return re.fullmatch(r"L\d+(H\d+|MLP)", name) is not None


def _lane(name: str, roles: dict[str, str]) -> int:
    if Node.parse(name).head is None:
        return len(_LANES) - 1
    for lane, (_, classes) in enumerate(_LANES):
        if roles.get(name, "") in classes:
            return lane
    return _OTHERS


def _draw_node(
    axes: Axes, name: str, place: tuple[float, float], roles: dict[str, str]
) -> None:
    is_token = name != OUTPUT and not _is_node(name)
    role = roles.get(name, "")
    if _is_node(name) and Node.parse(name).head is None:
        role = "feed_forward"
    colour = palette.INK if name == OUTPUT else palette.class_colour(role)
    box = dict(
        boxstyle="round,pad=0.28", facecolor=palette.PAPER,
        edgecolor=palette.MUTED if is_token else colour, linewidth=1.4,
    )  # fmt: skip
    text = "answer" if name == OUTPUT else words.short(name, 16)
    axes.text(
        *place, text, ha="center", va="center", fontsize=7.6, bbox=box, zorder=4,
        style="italic" if is_token else "normal",
    )  # fmt: skip


def _draw_arrow(axes: Axes, arrow: _Arrow, places, fraction: float) -> None:
    patch = FancyArrowPatch(
        places[arrow.sender],
        places[arrow.receiver],
        connectionstyle=f"arc3,rad={_BEND.get(arrow.site, 0.1)}",
        arrowstyle="-|>",
        mutation_scale=8,
        shrinkA=16,
        shrinkB=17,
        color=_COLOURS.get(arrow.site, palette.INK),
        alpha=0.35 + 0.6 * fraction,
        linewidth=0.7 + 2.6 * fraction,
        zorder=2,
    )
    canvas.tip(
        patch,
        f"{arrow.edge.edge}: alone, noised {words.number(arrow.edge.noised, 3)}, "
        f"denoised {words.number(arrow.edge.denoised, 3)}",
    )
    axes.add_patch(patch)


def _frame(axes: Axes, places: dict[str, tuple[float, float]], roles) -> None:
    canvas.bare(axes)
    nodes = {name: place for name, place in places.items() if _is_node(name)}
    heights = [y for _, y in places.values()]
    axes.set(
        xlim=(-2.4, places[OUTPUT][0] + 0.6),
        ylim=(min(heights) - 0.7, max(heights) + 0.7),
    )  # fmt: skip
    columns: dict[int, float] = {}
    for name, (x, _) in nodes.items():
        layer = Node.parse(name).layer
        columns[layer] = min(x, columns.get(layer, x))
    ticks = [(-1.6, "earlier tokens"), *((x, f"layer {n}") for n, x in columns.items())]
    axes.set_xticks([x for x, _ in ticks], [text for _, text in ticks])
    lanes = sorted({_lane(name, roles) for name in nodes})
    axes.set_yticks(
        [-_LANE * at for at in range(len(lanes))], [_LANES[one][0] for one in lanes]
    )
