"""Heads whose content is known: the models answer, and hold what they should."""

import numpy as np
import pytest

from mcq_jax import metrics, passes
from mcq_jax.planted import Content, plant_described
from mcq_jax.prompts import Wording, mutate, render_wording, rotations, tokenise
from tests.planted.asked import ask

TOLERANCE = 1e-4
EXACT = 0.99
SHAPES = {Content.ARC, Content.SIMPLEX, Content.FIRST}


@pytest.mark.parametrize("content", Content)
def test_every_rotation_is_answered_as_the_rules_say(content: Content):
    model = plant_described(content, seed=1).planted
    questions = [r for q in model.questions(6) for r in rotations(q)]
    asked = ask(model, questions)
    logits = asked.logits()
    np.testing.assert_array_equal(logits.argmax(-1), asked.gold)
    expected = np.stack([model.truth.answer_logits(f) for f in asked.facts])
    np.testing.assert_allclose(
        logits, expected, rtol=0, atol=TOLERANCE * np.abs(expected).max()
    )


def seen(content: Content, seed: int, choices: int, questions: int, mutation: str):
    model = plant_described(content, seed, choices=choices)
    asked = [
        tokenise(render_wording(wording), model.planted.tokenizer)
        for question in model.planted.questions(questions, seed=seed)
        for wording in mutate(
            Wording(question=question, template=model.planted.template), mutation,
            seed=seed,
        )
    ]  # fmt: skip
    view = passes.seen_by_heads(
        model.planted.parameters, asked, model.heads, config=model.planted.config
    )
    return model, asked, view


EVERY = [(content, n) for content in SHAPES for n in range(3, 11)]
FEW = {(Content.ARC, 6), (Content.SIMPLEX, 5), (Content.FIRST, 4)}


@pytest.mark.parametrize(
    ("content", "choices"),
    [
        pytest.param(*case, marks=() if case in FEW else pytest.mark.exhaustive)
        for case in sorted(EVERY, key=str)
    ],
)
def test_the_scores_rank_is_that_of_the_shape_and_the_variances_is_not(
    content: Content, choices: int
):
    # As many words as junk has dimensions, and more, have to be asked for.
    model, _, view = seen(content, 2, choices, 12, "rotations")
    for head in range(len(model.heads)):
        queries = view.query[:, head]
        keys = view.keys[:, head].reshape(-1, queries.shape[-1])
        spectrum = metrics.score_spectrum(queries, keys)
        assert metrics.rank_for(spectrum, EXACT) == model.rank
        for x in (queries, keys):
            own = metrics.singular_vectors(x, name="variance")
            # Its first directions, as many as would do, are what nobody reads.
            first = own.first(min(4, model.rank)).vectors
            assert metrics.score_lost(first, queries, keys) > 0.9


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(s, marks=pytest.mark.exhaustive) for s in range(1, 20))]
)
def test_the_part_of_seen_is_found_to_five_per_cent(seed: int):
    model, asked, view = seen(Content.SEEN, seed, 4, 12, "latin_square + rotations")
    parts = metrics.score_parts(
        view.query[:, 0], view.keys[:, 0],
        np.stack([prompt.place for prompt in asked]),
        np.stack([prompt.letter for prompt in asked]),
        np.array([prompt.gold for prompt in asked]),
        np.array([prompt.question for prompt in asked]),
        scale=float(view.score_scale[0]), resamples=20,
    )  # fmt: skip
    share = parts.means["seen"].mean / parts.total.mean
    assert share == pytest.approx(model.seen_share, rel=0.05)
