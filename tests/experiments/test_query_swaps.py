"""Query swaps: planted heads follow what they were built to, in every form."""

import pathlib
from typing import Any

import numpy as np
import pytest

from mcq_jax import planted
from mcq_jax.experiments import (
    Behaviour,
    HeadClasses,
    NodeEffects,
    QuerySwaps,
    run,
)
from mcq_jax.planted import Clues
from mcq_jax.planted.weights import Head
from mcq_jax.results import Followed, QuerySwapsFindings, SwapsFound
from tests.experiments.clued import open_planted
from tests.experiments.runs import page_with, planted_config, quiet

# Where something is planted to be followed, or not to.
ALL, NOTHING = 0.999, 0.001


def _swapped(
    out: pathlib.Path, form: str, *, heads: tuple[str, ...] = (), **changes
) -> SwapsFound:
    """A form's findings; they are drawn where the heads were found too."""
    before = () if heads else (NodeEffects(), HeadClasses())
    listed = (Behaviour(), *before, QuerySwaps(forms=(form,), heads=heads))
    given: dict[str, Any] = {"question_count": 8, "effect_questions": 4} | changes
    found, folder = run(planted_config(out, experiments=listed, **given), quiet())
    values = found.get(QuerySwapsFindings)
    assert values is not None
    if not heads:
        assert "Query swap: place" in page_with(found, folder, "swaps")
    return values.forms[0]


def _of(
    form: SwapsFound, who: str, layer: int | None = None, reading: str = "answer"
) -> Followed:
    key = (who, layer, reading)
    [found] = [f for f in form.followed if (f.who, f.layer, f.reading) == key]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["ordinal", "letter"])
def test_planted_heads_follow_what_they_were_built_to(tmp_path: pathlib.Path, variant):
    form = _swapped(tmp_path, "shuffled", variant=variant)
    assert form.questions == 4  # of 8: the others named heads
    assert form.base_accuracy == form.source_accuracy == 1 and form.is_rate
    heads = _of(form, "correct-letter heads")
    assert heads.letter is not None and heads.too_few
    wanted, other = heads.place, heads.letter
    if variant == "letter":
        wanted, other = other, wanted
    assert wanted.mean == 1 and other.mean == heads.stays.mean == 0
    drawn = _of(form, "random heads")
    assert drawn.stays.mean == 1 and drawn.place.mean == 0
    # Before anything is read the residual points nowhere; at the end it has the letter.
    assert _of(form, "residual stream", 0).stays.mean == 1
    last = _of(form, "residual stream", 6)
    assert last.letter is not None and last.letter.mean == 1


def _pointers(truth: planted.Truth) -> tuple[str, ...]:
    return tuple(map(str, truth.playing("correct-letter head")))


@pytest.mark.slow
def test_a_place_is_counted_from_the_start(tmp_path: pathlib.Path):
    """As planted: not from the end, nor by tokens."""
    heads = _pointers(planted.plant(0, choices=7).truth)
    form = _swapped(tmp_path, "across_counts", choices=7, heads=heads)
    found = _of(form, "named heads")
    assert found.place.mean > ALL and found.rank is None
    for other in (found.from_end, found.offset):
        assert other is not None and other.mean < 0
    assert abs(_of(form, "random heads").place.mean) < NOTHING


@pytest.mark.slow
@pytest.mark.parametrize("clue", ["place", "rank"])
def test_a_symbol_rank_is_told_from_a_place(tmp_path, monkeypatch, clue):
    """E is first as A is first: across ordered sets a rank looks like a place."""
    model = open_planted(monkeypatch, clues=Clues(**{clue: 1.0}))
    heads = _pointers(model.truth)
    ordered = _swapped(tmp_path / "1", "ordered_letters", heads=heads)
    found = _of(ordered, "named heads")
    assert found.rank is not None and found.place.mean == found.rank.mean == 1
    permuted = _swapped(tmp_path / "2", "other_letters", heads=heads)
    found = _of(permuted, "named heads")
    assert found.rank is not None and found.letter is None
    wanted, other = found.place, found.rank
    if clue == "rank":
        wanted, other = other, wanted
    # Place and rank are drawn apart; with four bases they agree here and there.
    assert wanted.mean == 1 and other.low <= 0 <= other.high


@pytest.mark.slow
def test_place_letter_and_content_are_followed_by_their_weights(
    tmp_path: pathlib.Path, monkeypatch
):
    """A head's attention on each line is a softmax of the weights, in closed form."""
    clues = Clues(place=0.5, letter=0.2, content=0.3)
    model = open_planted(monkeypatch, clues=clues)
    form = _swapped(tmp_path, "four_lines", heads=_pointers(model.truth))
    assert form.base_accuracy == form.source_accuracy == 1
    for node in model.truth.playing("correct-letter head"):
        head = _of(form, str(node), reading="attention")
        weights = model.truth.parts[node].weights
        assert isinstance(weights, Head)
        sharpness = sum(match.strength for match in weights.matches[2:])
        scores = np.exp(sharpness * np.array([0.5, 0.2, 0.3, 0.0]))
        expected = scores / scores.sum()
        assert head.letter is not None and head.content is not None
        measured = [head.place, head.letter, head.content, head.stays]
        assert [m.mean for m in measured] == pytest.approx(expected, abs=1e-3)
    # The largest weight decides what is answered.
    together = _of(form, "named heads")
    assert together.place.mean == 1 and together.stays.mean == 0


def test_without_named_heads_the_residual_alone_is_swapped(tmp_path: pathlib.Path):
    listed = (Behaviour(), QuerySwaps(forms=("shuffled",), layer_step=6))
    config = planted_config(
        tmp_path, experiments=listed, question_count=8, effect_questions=4
    )
    found, _ = run(config, quiet())
    values = found.get(QuerySwapsFindings)
    assert values is not None and values.letter_heads == ()
    assert {one.who for one in values.forms[0].followed} == {"residual stream"}
    last = _of(values.forms[0], "residual stream", 6)
    assert last.letter is not None and last.letter.mean == 1


def test_questions_that_were_studied_are_refused(tmp_path: pathlib.Path):
    listed = (Behaviour(), QuerySwaps())
    with pytest.raises(
        ValueError, match="0 of 4 questions pass the filter and were not studied"
    ):
        run(planted_config(tmp_path, experiments=listed), quiet())


def test_what_is_not_there_is_named(tmp_path: pathlib.Path):
    with pytest.raises(ValueError, match="called 'odd'; there are random_letters"):
        QuerySwaps(forms=("odd",))
    listed = (Behaviour(), QuerySwaps(heads=("L9H0",)))
    with pytest.raises(ValueError, match="L9H0 is no head of a model of 7 layers"):
        run(planted_config(tmp_path, experiments=listed), quiet())


def test_mutations_of_a_card_are_checked_before_anything_runs(tmp_path: pathlib.Path):
    with pytest.raises(ValueError, match="No mutation is called"):
        planted_config(tmp_path, mutation="scrambled")
    with pytest.raises(ValueError, match="worked"):
        planted_config(tmp_path, mutation="reversed", shots=2)
