"""Questions of the corpus are its own text, and pass through what any questions do."""

import jax
import numpy as np
import pytest

from mcq_jax import prompts
from mcq_jax.checkpoints import Checkpoint
from mcq_jax.experiments import PromptOptions
from mcq_jax.experiments.prompt_set import make_prompts
from mcq_jax.model import ModelConfig
from mcq_jax.prompts import Wording, mutate, render_wording, tokenise
from mcq_jax.training import corpus, initialise
from mcq_jax.training.corpus import asking, documents, vocabulary
from mcq_jax.training.corpus.asking import Asked
from mcq_jax.training.corpus.recipe import Arm, CorpusRecipe
from mcq_jax.training.corpus.vocabulary import IDS, TEMPLATE, VALUES, VOCABULARY
from mcq_jax.training.corpus.world import RELATIONS, make_world

RECIPE = CorpusRecipe(seed=5)


def _tokenised(question, mutation="none", seed=0):
    wording = Wording(question=question, template=TEMPLATE)
    tokenizer = vocabulary.tokenizer()
    return [
        tokenise(render_wording(made), tokenizer, context=40)
        for made in mutate(wording, mutation, seed=seed)
    ]


def test_a_rendered_question_is_the_text_that_the_model_is_trained_on():
    """Token by token, with one and two words an option, and any labels."""
    for arm in Arm:
        recipe = CorpusRecipe(seed=5, arm=arm)
        made = asking.draw_questions(recipe, 40, np.random.default_rng(1))
        rows = documents.pack(made.tokens, 40, 0)
        for row in range(40):
            question = asking._question(made, row)
            labels = [VOCABULARY[i] for i in made.labels[row] if i >= 0]
            rendered = prompts.render(question, TEMPLATE, labels=labels)
            found = tokenise(rendered, vocabulary.tokenizer(), context=40)
            length = len(found.ids)
            np.testing.assert_array_equal(found.ids, rows[row, :length])
            assert found.answer_ids[found.gold] == rows[row, length]
            np.testing.assert_array_equal(found.answer_ids, found.label_ids)
            assert rows[row, length + 1] == IDS["<end>"]


def test_the_tokenizer_opens_as_any_other(tmp_path):
    made = vocabulary.tokenizer()
    made.save(tmp_path)
    again = prompts.TokenizerFile.from_file(tmp_path)
    text = "so the home of the fox is ?\nA old mill\nB castle\nanswer B"
    ids = again.encode(text).ids
    assert ids == made.encode(text).ids
    words = ("<bos> so the home of the fox is ? \n A old mill \n "
             "B castle \n answer B")  # fmt: skip
    assert [VOCABULARY[i] for i in ids] == words.split(" ")
    assert again.vocabulary_size == len(VOCABULARY) <= 256
    assert again.special_tokens["bos_token"] == "<bos>"


@pytest.mark.slow
def test_a_run_asks_saved_questions_of_a_trained_checkpoint(tmp_path):
    """Word for word those that were saved, by the card's own fields."""
    made = asking.generate_questions(RECIPE, 12, seed=3)
    options = PromptOptions(
        questions=str(corpus.save_questions(tmp_path / "asked.jsonl", made)),
        template="corpus",
        mutation="permuted",
    )
    config = ModelConfig(
        layers=1, width=8, kv_heads=1, group=1, head_width=8, neurons=8,
        vocabulary=len(VOCABULARY), context=40, tied=True, rotary_width=8,
    )  # fmt: skip
    checkpoint = Checkpoint(
        parameters=initialise(config, jax.random.key(0)), config=config,
        tokenizer=vocabulary.tokenizer(), name="small", content_hash="",
    )  # fmt: skip
    asked = make_prompts(options, checkpoint)
    assert len(asked.prompts) == 12 * 4 and asked.choices == 4
    assert set(asked.subject) == {question.subject for question in made}
    first = prompts.in_turns(made, seed=options.seed)[0]
    assert asked.example.startswith(first.text + "\n")
    assert asked.example.endswith("\nanswer")


@pytest.mark.parametrize("choices", [3, 4, 5, 6])
def test_questions_have_different_contents_and_the_options_asked_for(choices):
    made = asking.generate_questions(RECIPE, 50, choices=choices, seed=2)
    assert len({question.content_id for question in made}) == 50
    assert {len(question.options) for question in made} == {choices}
    assert {question.subject for question in made} == set(RELATIONS)
    assert made == asking.generate_questions(RECIPE, 50, choices=choices, seed=2)


def test_the_gold_option_is_what_the_world_says():
    world = make_world(RECIPE.seed, RECIPE.held_out)
    for question in asking.generate_questions(RECIPE, 60, seed=1):
        thing = question.text.split()[-3]
        if question.subject == "name":
            assert question.options[question.gold] == thing
            continue
        row = RELATIONS.index(question.subject)
        value = world.value[row, vocabulary.THINGS.index(thing)]
        assert question.options[question.gold] == VALUES[question.subject][value]


def test_held_out_questions_are_those_that_training_never_asks():
    world = make_world(RECIPE.seed, RECIPE.held_out)

    def is_asked(question):
        row = RELATIONS.index(question.subject)
        return world.asked[row, vocabulary.THINGS.index(question.text.split()[-3])]

    def has_siblings(question):
        known = vocabulary.THINGS
        if question.subject != "name":
            known = VALUES[question.subject]
        pairs = [known.index(option) // 2 for option in question.options]
        return len(set(pairs)) < len(pairs)

    for asked, expected in (
        (Asked.TRAINED, (True, False)),
        (Asked.NEW_FACTS, (False, False)),
        (Asked.NEW_OPTIONS, (True, True)),
    ):
        for question in asking.generate_questions(RECIPE, 60, asked=asked):
            assert (is_asked(question), has_siblings(question)) == expected


@pytest.mark.parametrize(
    "mutation",
    ["permuted", "shuffled", "reversed", "random_letters", "other_random_letters",
     "numbers", "rotations", "3_options", "latin_square", "ordered_letters"],
)  # fmt: skip
def test_mutations_of_labels_are_words_of_the_tokenizer(mutation):
    question = asking.generate_questions(RECIPE, 1, seed=4)[0]
    for prompt in _tokenised(question, mutation):
        assert len(prompt.ids) <= 40


def test_what_the_tokenizer_does_not_know_is_an_error():
    question = asking.generate_questions(RECIPE, 1, seed=4)[0]
    with pytest.raises(Exception, match="UNK"):
        _tokenised(question, "lower_case")


def test_impossible_numbers_are_refused():
    with pytest.raises(ValueError, match="7 options"):
        asking.generate_questions(RECIPE, 10, choices=7)
