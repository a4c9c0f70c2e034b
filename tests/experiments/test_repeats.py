"""A question that a file holds twice changes nothing but a note."""

import json

import pytest

from mcq_jax import planted, prompts
from mcq_jax.experiments import Behaviour, JointTests, NodeEffects, run
from mcq_jax.experiments.opening import open_model
from mcq_jax.experiments.prompt_set import make_prompts
from mcq_jax.results import verdict
from tests.experiments.runs import planted_config, quiet

QUESTIONS = planted.generate_questions(4, choices=4, seed=1)


@pytest.fixture(autouse=True)
def planted_template(monkeypatch):
    """Lets questions out of a file be asked as a planted model reads them."""
    monkeypatch.setitem(prompts.TEMPLATES, "planted", planted.TEMPLATE)


def config(folder, *records, **options):
    path = folder / f"{len(records)}.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    given = {
        "questions": str(path),
        "template": "planted",
        "question_count": None,
        "experiments": (Behaviour(), NodeEffects(), JointTests(random_sets=1)),
    }
    return planted_config(folder / f"run {len(records)}", **given | options)


def record(question, **changes):
    options = list(question.options)
    about = {"question": question.text, "options": options, "answer": question.gold}
    return {**about, "id": question.id} | changes


ONCE = [record(question) for question in QUESTIONS]
TURNED = prompts.rotations(QUESTIONS[0])[2]
REPEATS = {
    "one id": record(QUESTIONS[0]),
    "two ids": record(QUESTIONS[0], id="again"),
    "two subjects": record(QUESTIONS[0], id="again", subject="law"),
    "two orders": record(TURNED, id="again"),
}


@pytest.mark.parametrize("kind", REPEATS)
def test_repeated_questions_make_no_prompts(tmp_path, kind):
    once = config(tmp_path, *ONCE)
    twice = config(tmp_path, *ONCE, REPEATS[kind])
    checkpoint, _ = open_model(once)
    alone, repeated = (make_prompts(options, checkpoint) for options in (once, twice))
    assert len(repeated.prompts) == len(alone.prompts) == 16
    assert repr(repeated.identity) == repr(alone.identity)
    assert not alone.notes
    assert "1 of 5 questions" in repeated.notes[0]


@pytest.mark.slow
def test_a_run_with_a_repeated_question_comes_to_the_same_findings(tmp_path):
    alone, repeated = (
        run(config(tmp_path, *records), quiet())[0]
        for records in (ONCE, [*ONCE, REPEATS["two ids"]])
    )
    assert verdict(alone).sentence.startswith("A circuit was found")
    assert verdict(repeated) == verdict(alone)
    assert repeated.behaviour == alone.behaviour
    assert len(repeated.about.notes) == 1 and not alone.about.notes
