"""The prompts of a card: those of its own, and the main ones asked otherwise."""

import dataclasses
import json

import pytest

from mcq_jax.experiments import Mutated, PromptOptions, RunConfig
from mcq_jax.experiments.prompt_set import load_questions

MAIN = RunConfig(
    title="", model="planted", questions="planted", question_count=8,
    other_prompts=(
        Mutated(mutation="permuted"),
        Mutated(name="letters", mutation="random_letters + permuted"),
        PromptOptions(name="words", questions="word_copy", question_count=4),
    ),
)  # fmt: skip


def _questions(config: RunConfig) -> dict[str, tuple]:
    return {
        one.name: (one.questions, one.question_count, one.seed, one.mutation)
        for one in config.all_prompts
    }


def test_mutated_prompts_ask_whatever_the_main_prompts_ask():
    """Also what the command line changes: the fresh questions of another seed."""
    changed = dataclasses.replace(MAIN, questions="word_copy", seed=3)
    assert _questions(changed) == {
        "main": ("word_copy", 8, 3, "none"),
        "permuted": ("word_copy", 8, 3, "permuted"),
        "letters": ("word_copy", 8, 3, "random_letters + permuted"),
        "words": ("word_copy", 4, 0, "none"),
    }


def test_the_first_questions_of_a_file_are_of_all_its_subjects(tmp_path):
    """So those that are studied are, though the file has them subject by subject."""
    lines = [
        {"question": f"{subject} {number}?", "options": ["a", "b"], "answer": 0,
         "subject": subject}
        for subject in ("algebra", "law", "virology")
        for number in range(6)
    ]  # fmt: skip
    file = tmp_path / "questions.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")

    def asked(**options) -> list[str]:
        found = load_questions(PromptOptions(questions=str(file), **options))
        return [question.subject for question in found]

    for options in ({}, {"question_count": 12}, {"seed": 1}):
        order = asked(**options)
        for start in range(0, len(order), 3):
            assert set(order[start : start + 3]) == {"algebra", "law", "virology"}
    assert asked() != asked(seed=1)


def test_a_mutation_is_done_to_the_main_prompts_mutation():
    changed = dataclasses.replace(MAIN, mutation="dot_behind")
    assert _questions(changed)["permuted"][-1] == "dot_behind + permuted"


def test_names_that_meet_and_mutations_that_are_none_are_refused():
    with pytest.raises(ValueError, match="name of its own"):
        dataclasses.replace(
            MAIN, other_prompts=(Mutated(name="main", mutation="reversed"),)
        )
    with pytest.raises(ValueError, match="no_such"):
        Mutated(mutation="no_such")
