"""Learned subspaces as an experiment: found, read on unseen labels, resumed."""

import pathlib

import pytest

from mcq_jax.experiments import Behaviour, LearnedSubspaces, run
from mcq_jax.planted import Clues
from mcq_jax.results import LearnedSubspacesFindings
from tests.experiments.clued import open_planted
from tests.experiments.runs import lasting, page_with, planted_config, quiet


@pytest.mark.slow
def test_a_place_is_learned_read_under_unseen_labels_and_resumed(
    tmp_path: pathlib.Path, monkeypatch
):
    model = open_planted(monkeypatch, clues=Clues(place=1.0))
    layer = max(n.layer for n in model.truth.playing("agreeing block")) + 1
    learn = LearnedSubspaces(
        layers=(layer,), steps=40, learn_on=("permuted", "other_letters"),
        variables=("place",), learning_rate=0.05,
    )  # fmt: skip
    config = planted_config(
        tmp_path, experiments=(Behaviour(), learn), question_count=20,
        effect_questions=8,
    )  # fmt: skip
    found, folder = run(config, quiet())
    values = found.get(LearnedSubspacesFindings)
    assert values is not None
    assert (values.learned_questions, values.read_questions) == (8, 12)
    assert [one.form for one in values.found] == ["permuted", "unseen_letters"]
    for one in values.found:
        assert one.class_means.mean == one.whole.mean == 1
        assert one.learned.mean > 0.8 and one.margin.low > 0
        assert not one.is_illusion and one.too_few
    page_with(found, folder, "learned")
    # Run again with nothing but the tables: nothing is learned anew.
    (pathlib.Path(folder.path) / "findings" / "learned_subspaces.json").unlink()
    monkeypatch.setattr("mcq_jax.learning.learn_subspace", None)
    again, _ = run(config, quiet())
    assert lasting(again) == lasting(found)


def test_what_cannot_be_learned_is_refused():
    with pytest.raises(ValueError, match="'shuffled', in which a base has not"):
        LearnedSubspaces(learn_on=("shuffled",))
    with pytest.raises(ValueError, match="colour"):
        LearnedSubspaces(variables=("colour",))
    with pytest.raises(ValueError, match="rank is 0"):
        LearnedSubspaces(rank=0)
