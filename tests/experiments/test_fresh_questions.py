"""Fresh questions were not studied, and pass the filter as studied ones do."""

import pathlib

import numpy as np
import pytest

from mcq_jax import metrics
from mcq_jax.experiments import (
    Behaviour,
    HeadClasses,
    Ladder,
    MutationGrid,
    NodeEffects,
    QuerySwaps,
    ScoreParts,
    run,
)
from mcq_jax.results import (
    BehaviourFindings,
    LadderFindings,
    MutationGridFindings,
    QuerySwapsFindings,
    ScorePartsFindings,
)
from tests.experiments.runs import planted_config, quiet, with_experiments

ASKED, STUDIED, UNFIT = 12, 4, 5


@pytest.mark.slow
def test_what_the_filter_leaves_out_is_not_read_either(
    tmp_path: pathlib.Path, monkeypatch
):
    def kept(answer_logits, gold, question):
        return np.unique(question)[UNFIT:]

    monkeypatch.setattr(metrics, "kept_questions", kept)
    listed = (
        Behaviour(), NodeEffects(), HeadClasses(),
        QuerySwaps(forms=("shuffled",)),
        ScoreParts(schemes=("permuted",), resamples=20), Ladder(), MutationGrid(),
    )  # fmt: skip
    config = planted_config(
        tmp_path, experiments=listed, question_count=ASKED, effect_questions=STUDIED
    )
    found, _ = run(config, quiet())
    assert found.need(BehaviourFindings).kept_questions == ASKED - UNFIT
    [form] = found.need(QuerySwapsFindings).forms
    [ladder] = found.need(LadderFindings).sets
    [row] = found.need(MutationGridFindings).rows
    parts = found.need(ScorePartsFindings)
    read = {each.questions for each in (form, ladder, row, parts)}
    assert read == {ASKED - UNFIT - STUDIED}
    fewer = QuerySwaps(forms=("shuffled",), questions=2)
    found, _ = run(with_experiments(config, fewer), quiet())
    [form] = found.need(QuerySwapsFindings).forms
    assert form.questions == 2
