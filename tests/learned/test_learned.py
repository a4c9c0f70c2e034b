"""The model that comes with the package is what its card makes, and does as it did."""

import importlib.util
import json
import pathlib
import shutil

import numpy as np
import pytest

from mcq_jax import experiments, learned, load
from mcq_jax.experiments import Behaviour, Routes, RunConfig
from mcq_jax.results import BehaviourFindings, RoutesFindings
from mcq_jax.studies import shipping
from mcq_jax.training import TrainingConfig, corpus
from mcq_jax.training.corpus import Course

CARD = pathlib.Path(__file__).parents[2] / "configs/train_learned.py"


@pytest.fixture(scope="module")
def card() -> TrainingConfig:
    spec = importlib.util.spec_from_file_location("train_learned", CARD)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.config()


def _course(card: TrainingConfig) -> Course:
    stream = card.members[0].stream
    assert isinstance(stream, Course)
    return stream


def _lines() -> list[dict]:
    return [json.loads(line) for line in learned.CURVE.read_text("utf-8").splitlines()]


def test_the_recipe_is_the_card(card: TrainingConfig):
    """In all that it says: settings that came later had their defaults."""
    expected = shipping.recipe_of(card)
    found = json.loads(learned.RECIPE.read_text("utf-8"))
    shape = found.pop("model")
    assert found == {name: expected[name] for name in found}
    assert shape == {name: expected["model"][name] for name in shape}
    assert [x["step"] for x in _lines() if "loss" in x] == list(range(1, 4001))


@pytest.mark.slow
def test_the_weights_reach_the_accuracies_of_the_curve(card: TrainingConfig):
    model, recipe = load(learned.CHECKPOINT), _course(card).lessons[-1].recipe
    assert model.config == card.model
    assert model.tokenizer.encode("the answer", special=False).ids == [
        corpus.VOCABULARY.index(word) for word in ("the", "answer")
    ]
    found = corpus.measure(model.parameters, config=model.config, recipe=recipe)
    (last,) = [x for x in _lines() if x["step"] == 4000 and "loss" not in x]
    # Of 500 questions; another processor may round one or two to the other side.
    for name, value in found.items():
        assert value == pytest.approx(last[name], abs=0.006), name
    assert found["accuracy_plain"] >= 0.99


def test_its_questions_are_of_the_corpus_and_their_facts_were_asked(
    card: TrainingConfig,
):
    recipe = _course(card).lessons[-1].recipe
    made = corpus.generate_questions(recipe, 96, seed=1000)
    found = [json.loads(x) for x in learned.QUESTIONS.read_text("utf-8").splitlines()]
    assert [one["question"] for one in found] == [one.text for one in made]
    assert [one["answer"] for one in found] == [one.gold for one in made]


def test_shipping_writes_what_the_package_has(card: TrainingConfig, tmp_path):
    run, package = tmp_path / "run", tmp_path / "package"
    last = run / "checkpoints" / "step-00004000"
    shutil.copytree(learned.CHECKPOINT, last)
    shutil.copyfile(learned.CURVE, run / "curve.jsonl")
    package.mkdir()
    shipping.ship(card, run, package)
    for file in (learned.CURVE, learned.QUESTIONS, *learned.CHECKPOINT.iterdir()):
        made = package / file.relative_to(learned.CHECKPOINT.parent)
        assert made.read_bytes() == file.read_bytes(), file.name
    assert json.loads((package / "recipe.json").read_text()) == shipping.recipe_of(card)


def test_all_of_it_is_small():
    folder = learned.CHECKPOINT.parent
    assert sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) < 5e6


@pytest.mark.exhaustive
def test_the_answer_comes_over_the_options_ends(tmp_path: pathlib.Path):
    """The figures of docs/findings.md, on half as many questions."""
    results, _ = experiments.run(
        RunConfig(
            title="learned", model="learned", questions="learned", question_count=48,
            effect_questions=12, batch=32, out=str(tmp_path / "run"),
            experiments=(Behaviour(), Routes(windows=1)),
        )
    )  # fmt: skip
    behaviour, routes = results.need(BehaviourFindings), results.need(RoutesFindings)
    assert behaviour.gate.open and behaviour.accuracy.mean > 0.98
    left = {
        cut.tokens: cut.left.mean
        for cut in routes.cuts
        if cut.renormalised and cut.last_layer - cut.first_layer == 3
    }
    assert left["labels"] > 0.9 and left["option ends"] < 0.25
    (ends,) = [
        swap
        for swap in routes.swaps
        if swap.who == "every head" and (swap.tokens, swap.parts) == _ENDS
    ]
    assert ends.rotation is not None and ends.placebo is not None
    assert ends.rotation.mean == pytest.approx(0.86, abs=0.06)
    assert np.abs(ends.placebo.mean) < 0.1


_ENDS = ("option ends", "values")
