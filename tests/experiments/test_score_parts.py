"""Score contrasts of planted heads are made of what was planted, and add up."""

import pathlib

import pytest

from mcq_jax.experiments import Behaviour, ScoreParts, run
from mcq_jax.interventions import Node
from mcq_jax.planted import Clues
from mcq_jax.planted.weights import Head
from mcq_jax.results import ScorePartsFindings
from tests.experiments.clued import open_planted
from tests.experiments.runs import page_with, planted_config, quiet

PARTS = ("place", "letter", "cross", "seen", "mean", "rest")


@pytest.mark.slow
def test_parts_are_the_weights_that_were_planted(tmp_path: pathlib.Path, monkeypatch):
    """For one-hot clues w of sharpness b the contrast is b w, whatever the number."""
    share = 0.7
    model = open_planted(monkeypatch, clues=Clues(place=share, letter=1 - share))
    nodes = model.truth.playing("correct-letter head")
    parts = ScoreParts(
        heads=tuple(map(str, nodes)), resamples=20,
        schemes=("permuted", "ordered_letters + permuted"),
    )  # fmt: skip
    config = planted_config(
        tmp_path, experiments=(Behaviour(), parts), question_count=20,
        effect_questions=4,
    )  # fmt: skip
    found, folder = run(config, quiet())
    values = found.get(ScorePartsFindings)
    assert values is not None and values.questions == 16
    assert len(values.parts) == 3 * len(nodes)
    for one in values.parts:
        weights = model.truth.parts[Node.parse(one.head)].weights
        assert isinstance(weights, Head)
        sharpness = sum(match.strength for match in weights.matches[2:])
        added = sum(getattr(one, name).mean for name in PARTS)
        assert added == pytest.approx(one.total.mean, abs=1e-4)
        assert one.place.mean == pytest.approx(share * sharpness, rel=0.02)
        # Of E to H the head knows nothing (`story.clued`): letters of the first four.
        known = {"permuted": 1.0, "ordered_letters + permuted": 0.0}
        letters = known.get(one.scheme, 0.5) * (1 - share) * sharpness
        assert one.letter.mean == pytest.approx(letters, abs=0.05 * sharpness)
        assert one.explained_of_keys > 0.95
    page_with(found, folder, "parts")
