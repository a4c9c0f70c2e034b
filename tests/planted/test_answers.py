"""Planted models answer, whatever they are asked and however they are hidden."""

import string

import jax
import numpy as np
import pytest

from mcq_jax.model import parameter_shapes
from mcq_jax.planted import Agreement, Variant, plant
from mcq_jax.prompts import rotations
from tests.planted.asked import ROWS, ask

# Float32 against exact arithmetic, as a share of the logit scale.
TOLERANCE = 5e-5


def _all_rotations(planted, *, seed: int = 0):
    questions = planted.questions(ROWS // planted.choices, seed=seed)
    return [shifted for question in questions for shifted in rotations(question)]


# Every number of options with every variant; by default with one of them.
@pytest.mark.parametrize(
    "seed",
    [
        pytest.param(seed, marks=[pytest.mark.exhaustive] * (seed // 9 != seed % 3))
        for seed in range(36)
    ],
)
def test_every_rotation_of_every_question_is_answered_rightly(seed: int):
    variant = list(Variant)[seed // 9 % 3]
    planted = plant(seed, choices=2 + seed % 9, variant=variant)
    asked = ask(planted, _all_rotations(planted, seed=seed))
    logits = asked.logits()
    np.testing.assert_array_equal(logits.argmax(-1), asked.gold)
    expected = np.stack([planted.truth.answer_logits(f) for f in asked.facts])
    scale = np.abs(expected).max()
    np.testing.assert_allclose(logits, expected, atol=TOLERANCE * scale, rtol=0)


@pytest.mark.parametrize("variant", Variant)
def test_any_letters_in_any_order_may_label_the_options(variant: Variant):
    planted = plant(5, variant=variant)
    generator = np.random.default_rng(0)
    labels = [generator.permutation(list("ABCDEFGHIJ"))[:4] for _ in range(ROWS)]
    asked = ask(planted, _all_rotations(planted), labels=[list(r) for r in labels])
    np.testing.assert_array_equal(asked.logits().argmax(-1), asked.gold)


@pytest.mark.parametrize(
    ("layers", "heads"), [(5, 5), (9, 8)], ids=["smallest", "larger"]
)
def test_models_of_other_sizes_answer_too(layers: int, heads: int):
    planted = plant(1, variant=Variant.MIXED, layers=layers, heads=heads)
    asked = ask(planted, _all_rotations(planted))
    np.testing.assert_array_equal(asked.logits().argmax(-1), asked.gold)


def test_turning_the_basis_changes_no_logit():
    hidden, plain = plant(3), plant(3, rotate_basis=False)
    questions = _all_rotations(plain)
    expected = ask(plain, questions).logits()
    atol = TOLERANCE * np.abs(expected).max()
    np.testing.assert_allclose(
        ask(hidden, questions).logits(), expected, atol=atol, rtol=0
    )
    entries = [
        abs(np.asarray(p.parameters.embed["~"]["table"])) for p in (hidden, plain)
    ]
    assert (entries[0] > 1e-3).mean() > 0.9
    assert (entries[1] > 1e-3).mean() < 0.1


def test_places_are_drawn_and_without_permutation_as_early_as_can_be():
    roles = {tuple(plant(seed).truth.roles.values()) for seed in range(4)}
    assert len(roles) == 4
    truth = plant(0, permute=False).truth
    assert [node.layer for node in truth.playing("counter head")] == [0]
    assert [node.layer for node in truth.playing("correct-letter head")] == [3, 3]


def test_a_seed_makes_the_same_model_again():
    first, second = plant(7), plant(7)
    jax.tree.map(np.testing.assert_array_equal, first.parameters, second.parameters)
    assert first.truth.roles == second.truth.roles


def test_parameters_are_those_of_an_ordinary_model():
    planted = plant(0, choices=3)
    shapes = parameter_shapes(planted.config)
    assert planted.config == plant(1, choices=10, variant=Variant.LETTER).config
    layer = jax.tree.map(lambda array: array[0], planted.parameters.layers[0])
    for part, expected in (
        (planted.parameters.embed, shapes.embed),
        (layer, shapes.layers[0]),
        (planted.parameters.unembed, shapes.unembed),
    ):
        assert jax.tree.map(np.shape, part) == jax.tree.map(lambda s: s.shape, expected)


def test_questions_differ_and_vary_in_length():
    planted = plant(0, choices=5)
    questions = planted.questions(50, seed=1)
    assert len({question.id for question in questions}) == 50
    assert {len(question.text.split()) for question in questions} == {4, 5, 6}
    assert {question.gold for question in questions} == set(range(5))
    assert all(len(question.options) == 5 for question in questions)


def test_labels_are_the_first_letters_of_the_alphabet():
    planted = plant(0, choices=10)
    assert planted.tokenizer.words[-10:] == tuple(string.ascii_uppercase[:10])


def test_the_agreement_can_be_chosen():
    for agreement in Agreement:
        assert plant(0, agreement=agreement).agreement is agreement
    assert {plant(seed).agreement for seed in range(6)} == set(Agreement)


@pytest.mark.parametrize("choices", [1, 11])
def test_too_few_or_too_many_options_are_refused(choices: int):
    with pytest.raises(ValueError, match=f"{choices} options; .* 2 to 10"):
        plant(0, choices=choices)


def test_too_small_a_model_is_refused():
    with pytest.raises(ValueError, match="at least 5 layers of 5 heads"):
        plant(0, layers=4)
