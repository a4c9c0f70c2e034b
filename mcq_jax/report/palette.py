"""The colours of a report, each in a light and a dark version.

Figures are drawn in the light colours; in the page every colour is exchanged for a
CSS variable of the same role, so that a figure turns dark with its page. Hues are
those of Okabe and Ito; the diverging map runs from blue to orange: both can be told
apart without red-green vision.
"""

STEPS = 12  # shades on either side of zero, and of the one-sided map

# role -> (light, dark). Every light colour occurs once: it is what the exchange finds.
ROLES = {
    "ink": ("#1d2733", "#e6e9ee"),
    "muted": ("#667181", "#98a3b3"),
    "rule": ("#d8dde4", "#333b47"),
    "paper": ("#fefefe", "#14181f"),
    "panel": ("#f3f5f8", "#1c222b"),
    "blue": ("#0072b2", "#56a8e6"),
    "orange": ("#d98200", "#f0a63a"),
    "green": ("#00876a", "#2fc39c"),
    "red": ("#c8500a", "#ff8a4c"),
    "pink": ("#b0568a", "#dd8fbb"),
    "sky": ("#4aa3d8", "#8fcdf2"),
    "olive": ("#8f8300", "#d3c64e"),
    "slate": ("#56678a", "#a3b3d6"),
    "grey": ("#8b94a1", "#79838f"),
    "pale": ("#c3cad3", "#4d5663"),
}

INK, MUTED, RULE, PAPER, PANEL = (
    ROLES[role][0] for role in ("ink", "muted", "rule", "paper", "panel")
)
BLUE, ORANGE, GREEN, GREY, PALE = (
    ROLES[role][0] for role in ("blue", "orange", "green", "grey", "pale")
)

_CLASS_ROLES = {
    "correct_letter": "blue",
    "letter_specific": "sky",
    "single_letter": "pink",
    "uniform": "olive",
    "negative": "red",
    "amplifier": "orange",
    "content_gatherer": "green",
    "late": "grey",
    "feed_forward": "slate",
}
_CLASS_MARKERS = {
    "correct_letter": "o",
    "letter_specific": "s",
    "single_letter": "v",
    "uniform": "h",
    "negative": "X",
    "amplifier": "^",
    "content_gatherer": "D",
    "late": "P",
    "feed_forward": "p",
}
SOURCE_COLOURS = {"rotation": BLUE, "other": ORANGE, "placebo": GREEN}
SOURCE_MARKERS = {"rotation": "o", "other": "s", "placebo": "^"}
SET_COLOURS = {
    "selected": BLUE,
    "cumulative": BLUE,
    "next_best": ORANGE,
    "random": GREY,
    "all": INK,
}


def class_role(name: str) -> str:
    return _CLASS_ROLES.get(name, "pale")


def class_colour(name: str) -> str:
    return ROLES[class_role(name)][0]


def class_marker(name: str) -> str:
    return _CLASS_MARKERS.get(name, ".")


def _blend(stops: tuple[str, ...], position: float) -> str:
    """Returns the colour at a position from 0 to 1 along the stops."""
    index = min(int(position * (len(stops) - 1)), len(stops) - 2)
    weight = position * (len(stops) - 1) - index
    pairs = zip(_channels(stops[index]), _channels(stops[index + 1]), strict=True)
    return "#" + "".join(f"{round(a + weight * (b - a)):02x}" for a, b in pairs)


def _channels(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[start : start + 2], 16) for start in (1, 3, 5))


def _ramp(*stops: str) -> tuple[str, ...]:
    return tuple(_blend(stops, step / STEPS) for step in range(STEPS + 1))


# Index 0 is "nothing"; the two sides of the diverging map share it.
POSITIVE = _ramp("#f5f4f1", "#f3c98a", "#d97f16", "#8a3f02")
NEGATIVE = _ramp("#f5f4f1", "#a9cdea", "#3c86c4", "#083e77")
SHARES = _ramp("#f1f4f4", "#9fd3cb", "#2d9a92", "#064c52")
_DARK_POSITIVE = _ramp("#232932", "#6b4514", "#cf7f1f", "#ffc98a")
_DARK_NEGATIVE = _ramp("#232932", "#1d4a74", "#3f8fd6", "#b4dcff")
_DARK_SHARES = _ramp("#222a2e", "#15524f", "#27a196", "#a8f3e2")


def _variables() -> dict[str, tuple[str, str]]:
    """Returns every CSS variable with its light and its dark colour."""
    found = dict(ROLES)
    ramps = (
        ("positive", POSITIVE, _DARK_POSITIVE),
        ("negative", NEGATIVE, _DARK_NEGATIVE),
        ("share", SHARES, _DARK_SHARES),
    )
    for name, light, dark in ramps:
        for step in range(0 if name != "negative" else 1, STEPS + 1):
            found[f"{name}-{step}"] = (light[step], dark[step])
    return found


VARIABLES = _variables()


def declarations(*, dark: bool) -> str:
    """Returns the CSS declarations of all colours."""
    return "".join(f"--{name}:{pair[dark]};" for name, pair in VARIABLES.items())


def step_of(fraction: float) -> int:
    """Returns the shade for a fraction from 0 to 1 of the map's end."""
    return round(min(max(fraction, 0.0), 1.0) * STEPS)


def diverging(fraction: float) -> str:
    """Returns the colour for -1 to 1."""
    side = POSITIVE if fraction >= 0 else NEGATIVE
    return side[step_of(abs(fraction))]


def on_top(fraction: float) -> str:
    """Returns the colour of writing upon the shade: it holds in light and in dark."""
    return PAPER if abs(fraction) > 0.62 else INK
