"""Head kinds of a planted circuit: what was built to follow the right letter does."""

import pathlib

import pytest

from mcq_jax.experiments import Behaviour, HeadClasses, HeadKinds, NodeEffects, run
from mcq_jax.results import HeadKindsFindings
from tests.experiments.runs import page_with, planted_config, quiet


@pytest.mark.slow
def test_planted_heads_follow_letters_and_keep_their_classes(tmp_path: pathlib.Path):
    listed = (Behaviour(), NodeEffects(), HeadClasses(), HeadKinds(permutations=200))
    config = planted_config(
        tmp_path, experiments=listed, question_count=6, effect_questions=6
    )
    result, folder = run(config, quiet())
    found = result.get(HeadKindsFindings)
    assert found is not None and found.questions == 6
    by_class = {kind.name: kind.head_class for kind in found.heads}
    assert "correct_letter" in by_class.values()
    for kind in found.heads:
        # Nothing varies between the questions of a planted circuit.
        assert kind.class_by_half == (kind.head_class, kind.head_class)
        if kind.head_class == "correct_letter":
            # 4^6 shifts of six questions: none but the golds' own reaches this.
            assert max(kind.p_value) == 1 / 201 and min(kind.follows) > 0.8
        if kind.head_class == "uniform":
            assert min(kind.p_value) > 0.05
        # A single-letter head has an index; one that was built to is a proto head.
        assert (kind.proto_index is None) == (kind.head_class != "single_letter")
    assert found.agreement == 1 > found.chance_agreement
    protos = [kind for kind in found.heads if kind.proto_index is not None]
    assert any(kind.proto_index.low > 0 for kind in protos if kind.proto_index)
    page_with(result, folder, "kinds")
