"""Texts scored without options: by hand, and in a run against plain passes."""

import pathlib

import jax
import numpy as np
import pytest

from mcq_jax import prompts
from mcq_jax.checkpoints import Checkpoint
from mcq_jax.experiments import Behaviour, Cloze, cloze, run
from mcq_jax.experiments.opening import open_model
from mcq_jax.experiments.prompt_set import load_questions
from mcq_jax.model import forward
from mcq_jax.planted import asking
from mcq_jax.prompts import ClozePrompt
from mcq_jax.results import ClozeFindings
from mcq_jax.results.cloze_findings import AGAINST, CONTROL, MEAN, SUM
from tests.experiments.runs import page_with, planted_config, quiet


def _prompt(gold: int, name: str) -> ClozePrompt:
    ids = tuple(np.arange(3, dtype=np.int32) for _ in range(2))
    return ClozePrompt(
        ids=ids, starts=np.array([1, 1], np.int32), gold=gold, content_id=name, text=""
    )


def test_every_way_to_choose_is_read_by_hand():
    given = np.array([[-1.0, -3.0], [-2.0, -3.0], [-4.0, -2.0]])
    alone = np.array([[-1.0, -1.0], [-1.0, -4.0], [-1.0, -2.0]])
    tokens = np.array([[1, 1], [1, 3], [2, 1]])
    asked = tuple(_prompt(gold, name) for gold, name in ((0, "a"), (1, "b"), (1, "c")))
    letters = {
        "a": np.array([True, False]), "b": np.array([True, True]),
        "c": np.array([False, False]),
    }  # fmt: skip
    found = cloze.describe(given, alone, tokens, asked, letters, seed=0)
    ways = {one.by: one for one in found.scores}
    # sum: a, c; by token -1|-3, -2|-1, -2|-2: a, b (a tie is not right); less alone
    # 0|-2, -1|1, -3|0: all; alone: no tie is right, -1|-4, -1|-2: none.
    wanted = {SUM: "ac", MEAN: "ab", AGAINST: "abc", CONTROL: ""}
    for by, right in wanted.items():
        one = ways[by]
        assert one.accuracy.mean == pytest.approx(len(right) / 3)
        assert one.letter_less_this.mean == pytest.approx(0.5 - len(right) / 3)
        always = {"b"}
        assert one.both == len(always & set(right))
        assert one.text_only == len(set(right) - always)
        assert one.letter_only == len(always - set(right))
        assert one.both + one.text_only + one.letter_only + one.neither == 3
    assert found.by_letter.mean == pytest.approx(0.5) and found.chance == 0.5


@pytest.mark.slow
def test_a_run_scores_every_text_as_a_plain_pass_does(tmp_path: pathlib.Path):
    config = planted_config(tmp_path, experiments=(Behaviour(), Cloze(batch=3)))
    found, folder = run(config, quiet())
    values = found.get(ClozeFindings)
    assert values is not None and values.questions == config.question_count
    assert values.by_letter.mean == 1 and values.chance == 0.25
    assert values.example.startswith("Which") and values.example.endswith("?\n:")

    checkpoint, _ = open_model(config)
    asked = [
        prompts.cloze(one, checkpoint.tokenizer, asking.TEMPLATE)
        for one in load_questions(config)
    ]
    scores = np.array(
        [[_plainly(checkpoint, one, i) for i in range(4)] for one in asked]
    )
    right = scores.argmax(axis=1) == [one.gold for one in asked]
    [summed] = [one for one in values.scores if one.by == SUM]
    assert summed.accuracy.mean == pytest.approx(right.mean())
    tables = [folder.read("cloze", key) for key in folder.tables()["cloze"]]
    nats = [t["logprob"][np.argsort(t["question"])] for t in tables]
    # One of the two is of questions, the other of cues alone.
    off = min(np.abs(each - scores).max() for each in nats)
    assert len(nats) == 2 and off < 1e-3
    assert 'id="cloze"' in page_with(found, folder, "cloze")


def _plainly(checkpoint: Checkpoint, asked: ClozePrompt, option: int) -> float:
    ids = asked.ids[option]
    logits = forward(checkpoint.parameters, ids[None], config=checkpoint.config).logits
    nats = np.asarray(jax.nn.log_softmax(logits[0]))
    at = np.arange(asked.starts[option], len(ids))
    return float(nats[at - 1, ids[at]].sum())
