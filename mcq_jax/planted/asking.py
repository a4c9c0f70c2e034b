"""What planted models are asked: which line shows a given word.

The prompt goes through the ordinary template and tokenisation:

    <bos> Which is is river ? \\n A . stone \\n B . river \\n … :
"""

import string
from collections.abc import Sequence

import numpy as np

from mcq_jax.planted.channels import LETTERS, WORDS
from mcq_jax.planted.ideal import Facts
from mcq_jax.prompts import questions, rendering
from mcq_jax.prompts.tokenizer import WordTokenizer

BOS = "<bos>"
CUE = ":"
LABELS = tuple(string.ascii_uppercase[:LETTERS])
OPTION_WORDS = (
    "apple",
    "bell",
    "cloud",
    "door",
    "flower",
    "garden",
    "horse",
    "island",
    "lamp",
    "mirror",
    "river",
    "stone",
)
assert len(OPTION_WORDS) == WORDS
VOCABULARY = (BOS, "Which", "is", "?", "\n", ".", CUE, *OPTION_WORDS, *LABELS)

TEMPLATE = rendering.Template(
    name="planted",
    prefix="",
    prefix_without_subject="",
    before_label="",
    after_label=". ",
    cue=CUE,
    content_cue=CUE,
)


def tokenizer() -> WordTokenizer:
    return WordTokenizer(VOCABULARY, bos=BOS)


def generate_questions(
    count: int, *, choices: int, seed: int = 0
) -> tuple[questions.Question, ...]:
    """Returns different questions of one to three times "is" and `choices` words."""
    random = np.random.default_rng(seed)
    found: dict[str, questions.Question] = {}
    for _ in range(20 * count + 100):
        if len(found) == count:
            break
        question = _question(choices, random)
        found.setdefault(question.content_id, question)
    if len(found) < count or count < 1:
        raise ValueError(
            f"{count} questions were asked for and {len(found)} different ones found; "
            "ask for at least one and for fewer than there are."
        )
    return tuple(found.values())


def _question(choices: int, random: np.random.Generator) -> questions.Question:
    options = [OPTION_WORDS[i] for i in random.permutation(WORDS)[:choices]]
    gold = int(random.integers(choices))
    filler = " ".join(["is"] * int(random.integers(1, 4)))
    text = f"Which {filler} {options[gold]} ?"
    return questions.Question(text=text, options=tuple(options), gold=gold)


def facts(
    question: questions.Question, *, labels: Sequence[str] | None = None
) -> Facts:
    """Returns what the circuit sees of a question under these labels (A, B, C, …)."""
    labels = LABELS[: len(question.options)] if labels is None else labels
    options = tuple(OPTION_WORDS.index(option) for option in question.options)
    return Facts(
        asked=options[question.gold],
        options=options,
        letters=tuple(LABELS.index(label) for label in labels),
    )
