import itertools
import re

import matplotlib
import pytest
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from mcq_jax.report import (
    behaviour_figures,
    canvas,
    head_figures,
    node_figures,
    palette,
    point_labels,
    section,
    sections,
)
from tests.report import examples


def squares(axes) -> list[Rectangle]:
    return [patch for patch in axes.patches if isinstance(patch, Rectangle)]


@pytest.mark.parametrize("choices", range(2, 11))
def test_gold_by_letter_has_a_cell_for_each_pair_of_letters(choices):
    found = examples.open_gate(layers=1, heads=1, choices=choices)
    figure = behaviour_figures.gold_by_letter(found)
    assert len(squares(figure.axes[0])) == choices**2


@pytest.mark.parametrize("choices", range(2, 11))
def test_the_gallery_has_a_tile_for_each_classified_head(choices):
    found = examples.open_gate(choices=choices)
    cells = len(squares(head_figures.gallery(found).axes[0]))
    assert cells == choices**2 * len(head_figures.classified(found))


def test_the_node_map_has_every_node_and_outlines_the_selected():
    found = examples.open_gate(layers=28, heads=12)
    figure = node_figures.node_map(found)
    titles = re.findall(r"<title>(L\d+\w+): direct", canvas.to_svg(figure, "map"))
    assert set(titles) == {node.name for node in found.nodes}
    drawn = squares(figure.axes[0])
    outlines = [square for square in drawn if not square.get_fill()]
    assert len(drawn) - len(outlines) == 28 * 13
    assert len(outlines) == sum(node.selected for node in found.nodes) == 6


def test_a_cell_whose_interval_includes_zero_is_small():
    found = examples.open_gate()
    drawn = squares(node_figures.node_map(found).axes[0])
    small = [square for square in drawn if square.get_width() < 0.5]
    unsure = [
        node
        for node in found.nodes
        if node.direct["rotation"].low <= 0 <= node.direct["rotation"].high
    ]
    assert len(small) == len(unsure) > 0


def test_the_diverging_map_is_centred_on_zero():
    assert palette.diverging(0.0) == palette.POSITIVE[0] == palette.NEGATIVE[0]
    assert palette.diverging(1.0) == palette.POSITIVE[-1]
    assert palette.diverging(-1.0) == palette.NEGATIVE[-1]


def test_every_light_colour_has_one_role():
    light = [pair[0] for pair in palette.VARIABLES.values()]
    assert len(light) == len(set(light))


def test_drawing_leaves_the_settings_of_matplotlib_alone(tmp_path):
    before = dict(matplotlib.rcParams)
    found = examples.closed_gate()
    for each in sections.sections(found):
        for plate in each.figures:
            section.draw(plate, found, tmp_path)
    assert dict(matplotlib.rcParams) == before


def test_the_same_findings_give_the_same_drawing():
    found = examples.closed_gate()
    drawings = [canvas.to_svg(behaviour_figures.gate(found), "gate") for _ in "ab"]
    assert drawings[0] == drawings[1]


def test_names_beside_points_do_not_cover_each_other():
    figure = canvas.new_figure(5, 5)
    axes = figure.subplots()
    points = [(0.02 * index, 0.015 * (index % 3)) for index in range(12)]
    axes.set(xlim=(-0.5, 1), ylim=(-0.5, 1))
    point_labels.label_points(axes, [f"L2{i}H{i}" for i in range(12)], points)
    figure.draw_without_rendering()
    # Not that of an annotation, which takes in the line to its point.
    boxes = [Text.get_window_extent(text) for text in axes.texts]
    assert len(boxes) >= 8
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
