"""Queries and label keys in three dimensions: a picture, and a file to turn.

The file is one page by itself that works offline: a plotting library's script is in it,
and a policy that lets it fetch nothing. Prompts stand in it as text, never as markup.
"""

import html
import json
from collections.abc import Callable
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mcq_jax.report import canvas, palette, words
from mcq_jax.report.section import Attached
from mcq_jax.results import Cloud, LadderFound, Point

_COLOURS = tuple(
    palette.ROLES[role][0]
    for role in (
        "blue", "orange", "green", "pink", "sky", "olive", "red", "slate", "grey", "ink"
    )
)  # fmt: skip
# What points can be coloured by; a query has seen no line.
_BY: dict[str, Callable[[Point], str]] = {
    "gold letter": lambda point: point.gold_letter,
    "label": lambda point: point.letter,
    "place": lambda point: f"line {point.place + 1}",
    "right option seen before": lambda point: (
        "query" if point.is_query else ("yes" if point.seen else "no")
    ),
}


def is_shown(one: LadderFound) -> bool:
    """Whether there are points in three dimensions."""
    points = () if one.cloud is None else one.cloud.points
    return bool(points) and all(
        len(where) == 3 for point in points for where in (point.optimal, point.random)
    )


@canvas.styled
def picture(one: LadderFound) -> Figure:
    """Queries (diamonds) and keys (dots), beside the same in a random subspace."""
    assert one.cloud is not None
    figure = canvas.new_figure(9.0, 4.4)
    letters = sorted({point.letter for point in one.cloud.points})
    for number, (title, kept, right, where) in enumerate(_views(one.cloud), 1):
        axes: Any = figure.add_subplot(1, 2, number, projection="3d")
        for letter, colour in zip(letters, _cycle(len(letters)), strict=True):
            for is_query, marker in ((False, "."), (True, "D")):
                own = [
                    where(point)
                    for point in one.cloud.points
                    if point.letter == letter and point.is_query == is_query
                ]
                if own:
                    x, y, z = zip(*own, strict=True)
                    axes.plot(
                        x, y, z, marker, color=colour, alpha=0.75, linestyle="none",
                        markersize=4.5 if is_query else 4,
                    )  # fmt: skip
        axes.set_title(
            f"{title}\n{words.percent(kept)} of the score, right in "
            f"{words.percent(right)}"
        )
        _plain(axes)
    for letter, colour in zip(letters, _cycle(len(letters)), strict=True):
        figure.axes[0].plot([], [], [], "o", color=colour, label=letter)  # pyright: ignore
    figure.axes[0].plot([], [], [], "D", color=palette.GREY, label="queries")  # pyright: ignore
    figure.axes[0].plot([], [], [], ".", color=palette.GREY, label="keys")  # pyright: ignore
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def _views(cloud: Cloud):
    return (
        ("Score-optimal subspace", cloud.kept, cloud.separable,
         lambda point: point.optimal),
        ("Random subspace", cloud.kept_random, cloud.separable_random,
         lambda point: point.random),
    )  # fmt: skip


def _plain(axes: Axes) -> None:
    for name in ("x", "y", "z"):
        axis = getattr(axes, f"{name}axis")
        axis.set_ticklabels([])
        axis.set_pane_color((1, 1, 1, 0))


def _cycle(count: int) -> list[str]:
    return [_COLOURS[index % len(_COLOURS)] for index in range(count)]


def interactive(one: LadderFound, name: str) -> Attached | None:
    """Returns the file; None without points, or without the library."""
    if not is_shown(one):
        return None
    try:
        from plotly.offline import get_plotlyjs  # noqa: PLC0415
    except ModuleNotFoundError:
        return None
    assert one.cloud is not None
    title = (
        f"Queries and label keys of {one.cloud.head} in three dimensions "
        f"({one.prompts} prompts)"
    )
    text = _PAGE.format(
        title=html.escape(title),
        library=get_plotlyjs(),
        drawing=_in_script({"data": _traces(one.cloud), "layout": _layout(one.cloud)}),
    )
    return Attached(name=name, title=f"{title}: turn, zoom, read prompts", text=text)


def _in_script(value: Any) -> str:
    """JSON in which nothing ends the script."""
    text = json.dumps(value, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _as_text(text: str) -> str:
    """Text of a prompt for the library, which reads some markup, as it stands."""
    return html.escape(text[-700:]).replace("\n", "<br>")


def _traces(cloud: Cloud) -> list[dict[str, Any]]:
    """One for each colouring, value, kind of point and subspace; the first is shown."""
    prompts = [_as_text(prompt) for prompt in cloud.prompts]
    traces = []
    for by, value_of in _BY.items():
        values = sorted({value_of(point) for point in cloud.points})
        for value, colour in zip(values, _cycle(len(values)), strict=True):
            for is_query in (False, True):
                own = [
                    point
                    for point in cloud.points
                    if point.is_query == is_query and value_of(point) == value
                ]
                for scene, (*_, where) in zip(
                    ("scene", "scene2"), _views(cloud), strict=True
                ):
                    places = [where(point) for point in own]
                    traces.append({
                        "type": "scatter3d",
                        "mode": "markers",
                        "scene": scene,
                        "x": [place[0] for place in places],
                        "y": [place[1] for place in places],
                        "z": [place[2] for place in places],
                        "name": _as_text(value),
                        "legendgroup": _as_text(value),
                        "showlegend": scene == "scene" and not is_query,
                        "visible": by == next(iter(_BY)),
                        "marker": {
                            "color": colour,
                            "size": 4.5 if is_query else 3.5,
                            "symbol": "diamond" if is_query else "circle",
                        },
                        "text": [_said(point, prompts) for point in own],
                        "hoverinfo": "text",
                        "meta": by,
                    })  # fmt: skip
    return traces


def _said(point: Point, prompts: list[str]) -> str:
    kind = "query" if point.is_query else "key"
    about = (
        f"<b>{kind}</b> of line {point.place + 1}, label {_as_text(point.letter)}; "
        f"right: {_as_text(point.gold_letter)}<br>"
    )
    return about + (prompts[point.prompt] if point.prompt < len(prompts) else "")


def _layout(cloud: Cloud) -> dict[str, Any]:
    meta = [trace["meta"] for trace in _traces(cloud)]
    buttons = [
        {
            "label": by,
            "method": "restyle",
            "args": [{"visible": [one == by for one in meta]}],
        }
        for by in _BY
    ]
    plain = {"title": {"text": ""}, "showticklabels": False}
    axes = {f"{name}axis": plain for name in "xyz"}
    views = [
        (f"{title}: {words.percent(kept)} of the score, right in "
         f"{words.percent(right)}")
        for title, kept, right, _ in _views(cloud)
    ]  # fmt: skip
    return {
        "scene": {**axes, "domain": {"x": [0, 0.49]}},
        "scene2": {**axes, "domain": {"x": [0.51, 1]}},
        "annotations": [
            {"text": text, "x": x, "y": 1, "xref": "paper", "yref": "paper",
             "showarrow": False}
            for text, x in zip(views, (0.2, 0.8), strict=True)
        ],
        "updatemenus": [
            {"type": "buttons", "direction": "right", "x": 0.01, "y": 0.02,
             "xanchor": "left", "yanchor": "top", "buttons": buttons}
        ],
        "margin": {"l": 0, "r": 0, "t": 30, "b": 60},
        "hoverlabel": {"align": "left"},
    }  # fmt: skip


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; \
script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; \
base-uri 'none'; form-action 'none'">
<title>{title}</title>
<style>html,body{{height:100%;margin:0;font:15px system-ui,sans-serif}}
h1{{font-size:17px;margin:12px 16px 0}}p{{margin:2px 16px;color:#667181}}
#drawing{{height:calc(100vh - 96px);overflow:hidden}}</style>
</head>
<body>
<h1>{title}</h1>
<p>Diamonds: queries at the answer position. Dots: keys of labels. Both from their \
means, of questions that the subspaces were not fitted on. The buttons say what \
colours stand for.</p>
<div id="drawing"></div>
<script>{library}</script>
<script>
const drawing = {drawing};
Plotly.newPlot("drawing", drawing.data, drawing.layout,
  {{responsive: true, displaylogo: false}})
  .then(() => document.body.setAttribute("data-drawn", drawing.data.length));
</script>
</body>
</html>
"""
