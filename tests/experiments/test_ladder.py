"""The ladder on planted circuits: rungs that their heads must reach, and must not."""

import dataclasses
import pathlib

import numpy as np
import pytest

from mcq_jax.experiments import (
    Behaviour,
    HeadClasses,
    Ladder,
    NodeEffects,
    PromptOptions,
    run,
)
from mcq_jax.experiments.ladder_findings import ranks_needed
from mcq_jax.planted import Content, plant_described
from mcq_jax.results import LadderFindings, LadderFound
from tests.experiments.ladder_labs import climb
from tests.experiments.runs import page_with, planted_config, quiet

ROUNDING = 1e-3
# Of what random directions say.
SAME = 0.05


@pytest.fixture(scope="module")
def climbed(tmp_path_factory) -> tuple[LadderFindings, str]:
    """A circuit that goes by the line, under its own and under permuted labels."""
    listed = (
        Behaviour(), NodeEffects(), HeadClasses(),
        Ladder(sets=("main", "permuted"), ranks=(1, 2, 3), random_draws=1),
    )  # fmt: skip
    config = planted_config(
        tmp_path_factory.mktemp("ladder"), experiments=listed, question_count=8,
        effect_questions=4,
    )  # fmt: skip
    permuted = PromptOptions(
        name="permuted", mutation="permuted", questions=config.questions,
        question_count=config.question_count, seed=config.seed,
    )  # fmt: skip
    config = dataclasses.replace(config, other_prompts=(permuted,))
    found, folder = run(config, quiet())
    values = found.get(LadderFindings)
    assert values is not None
    return values, page_with(found, folder, "ladder")


def rung(found: LadderFound, parts: str, name: str, kind: str = "means"):
    [one] = [r for r in found.rungs if (r.parts, r.kind, r.name) == (parts, kind, name)]
    return one


def recovered(found: LadderFound, parts: str, name: str, kind: str = "means") -> float:
    one = rung(found, parts, name, kind)
    assert one.recovered is not None
    return one.recovered.mean


@pytest.mark.slow
def test_heads_by_the_line_are_described_by_places_and_their_values_by_letters(climbed):
    """Queries and keys hold a place and nothing else, values a letter."""
    [_, found] = climbed[0].sets
    assert found.prompts == "permuted" and found.questions == 4
    for parts in ("Q", "K", "QK"):
        assert recovered(found, parts, "mean") == pytest.approx(0, abs=ROUNDING)
        assert recovered(found, parts, "place") == pytest.approx(1, abs=ROUNDING)
        assert recovered(found, parts, "letter") < 0.4
        assert recovered(found, parts, "place", "others alike") == pytest.approx(
            1, abs=ROUNDING
        )
        assert recovered(found, parts, "rank 3", "score-optimal") > 0.99
        control = rung(found, parts, "place").random
        assert control is not None and control.mean < 0.5
    assert recovered(found, "V", "letter") == pytest.approx(1, abs=ROUNDING)
    assert recovered(found, "V", "place") < 0.4
    joint = "place and letter"
    assert recovered(found, "QKV", joint) == pytest.approx(1, abs=ROUNDING)
    assert max(recovered(found, "QKV", name) for name in ("place", "letter")) < 0.5


@pytest.mark.slow
def test_labels_in_order_do_not_tell_a_place_from_a_letter(climbed):
    [found, _] = climbed[0].sets
    for name in ("letter", "place and letter", "interaction"):
        one = rung(found, "QK", name)
        assert one.recovered is None and "not identified here" in one.refused
    assert recovered(found, "QKV", "place") == pytest.approx(1, abs=ROUNDING)


@pytest.mark.slow
def test_three_dimensions_are_needed_and_no_head_alone_is_all(climbed):
    [_, found] = climbed[0].sets
    [both] = [parts for parts in found.parts if parts.parts == "QK"]
    assert both.needed == both.of_score == 3
    assert [(s.dimensions, s.share) for s in both.needed_in_samples] == [(3, 1)]
    assert both.share.mean > 0.5  # above 1 where a negative head takes away again
    lost = [head.lost.mean for head in found.alone]
    assert len(lost) == len(climbed[0].letter_heads)
    assert max(lost) < 0.8 * found.together.mean


@pytest.mark.slow
def test_the_page_has_the_ladder(climbed):
    assert 'id="ladder-2"' in climbed[1]


SHAPES = [
    (content, choices)
    for content in (Content.ARC, Content.SIMPLEX, Content.FIRST)
    for choices in (3, 5, 7, 10)
]
FEW = {(Content.ARC, 5), (Content.FIRST, 5)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "choices"),
    [
        pytest.param(*case, marks=() if case in FEW else pytest.mark.exhaustive)
        for case in SHAPES
    ],
)
def test_as_many_dimensions_are_needed_as_the_shape_has(
    tmp_path: pathlib.Path, content: Content, choices: int
):
    model = plant_described(content, 3, choices=choices)
    ranks = sorted({1, 2, model.rank - 1, model.rank} - {0})
    ladder = Ladder(ranks=tuple(ranks), random_draws=1, enough=0.99)
    found = climb(model, tmp_path, ladder, questions=8)
    [both] = [parts for parts in found.parts if parts.parts == "QK"]
    assert both.needed == both.of_score == model.rank
    name = f"rank {model.rank}"
    assert recovered(found, "QK", name, "score-optimal") == pytest.approx(1, abs=0.01)
    # The directions of most variance, as many, are what nobody reads.
    assert recovered(found, "QK", "rank 1", "most variance") < 0.1


@pytest.mark.slow
@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(s, marks=pytest.mark.exhaustive) for s in range(1, 20))]
)
def test_no_head_alone_is_needed_where_a_backup_wakes_and_both_together_are(
    tmp_path: pathlib.Path, seed: int
):
    """Each head alone: the backup says what it said. Both: it says half of it."""
    model = plant_described(Content.WOKEN, seed)
    assert model.lost_together is not None
    found = climb(model, tmp_path, Ladder(ranks=(3,), random_draws=1), questions=8)
    scale = model.lost_together
    for head in found.alone:
        assert head.lost.mean == pytest.approx(0, abs=1e-3 * scale)
    assert found.together.mean == pytest.approx(scale, rel=1e-3)
    assert recovered(found, "QKV", "place") == pytest.approx(1, abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(s, marks=pytest.mark.exhaustive) for s in range(1, 20))]
)
def test_class_means_need_the_direction_of_seen_and_no_larger_one(
    tmp_path: pathlib.Path, seed: int
):
    """Label keys by class means, but for one direction, in which they stay."""
    model = plant_described(Content.SEEN, seed)
    # A random direction is a twenty-fourth part that of seen, on average of many.
    ladder = Ladder(ranks=(1,), random_draws=8)
    found = climb(model, tmp_path, ladder, mutation="latin_square")
    seen, decoy, random = (
        recovered(found, "K", f"means and {direction}", "direction")
        for direction in (
            "the direction of seen", "the largest other direction", "a random direction"
        )
    )  # fmt: skip
    assert seen == pytest.approx(1, abs=ROUNDING)
    assert decoy == pytest.approx(random, abs=SAME)
    assert seen > max(decoy, random)


def test_the_rank_needed_varies_with_the_questions():
    """By hand: half of the questions need one dimension, half of them two."""
    nets = np.array([[1.0, 1.0]] * 10 + [[0.0, 1.0]] * 10)
    question = np.arange(20)
    needed, samples = ranks_needed(
        nets, np.zeros(20), np.ones(20), question, [1, 2], enough=0.5, seed=0
    )
    assert needed == 1
    shares = {one.dimensions: one.share for one in samples}
    assert set(shares) == {1, 2} and 0.4 < shares[1] < 0.75  # ties are enough
    needed, samples = ranks_needed(
        nets, np.zeros(20), 2 * np.ones(20), question, [1, 2], enough=0.9, seed=0
    )
    [one] = samples
    assert needed is None and (one.dimensions, one.share) == (None, 1)


def test_a_ladder_without_rungs_is_refused():
    with pytest.raises(ValueError, match="ranks from 1 up"):
        Ladder(ranks=(0, 1))
    with pytest.raises(ValueError, match="give QUERY, or PRE_ROTATION"):
        Ladder(frame="turned")
