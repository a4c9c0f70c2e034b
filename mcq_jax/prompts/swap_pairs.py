"""Pairs for query swaps: a base, a source, and on which line of the base what stands.

A head given the source's query may follow its place, its letter or its content, or may
stay with the base's own answer. What is to be told apart must stand on different lines,
or have no line at all.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence

import numpy as np

from mcq_jax.prompts import identity, questions
from mcq_jax.prompts.mutations import mutate
from mcq_jax.prompts.wording import Wording


@dataclasses.dataclass(frozen=True, kw_only=True)
class SwapForm:
    """How bases and sources are put, and what their answers have apart."""

    name: str
    # What a swap of this form decides, in a sentence.
    asks: str
    # Mutations of the base and of the source (`MUTATIONS`).
    base: str
    source: str
    # Which lines must differ, out of own, place, letter, content.
    apart: tuple[str, ...] = ()
    # Whether the source asks for another option of the same question (`ask_for`).
    same_options: bool = False


SWAP_FORMS: Mapping[str, SwapForm] = {
    form.name: form
    for form in (
        SwapForm(
            name="random_letters",
            asks="Is a place followed where no letter and no rank is shared?",
            base="random_letters + permuted",
            source="other_random_letters + permuted",
        ),
        SwapForm(
            name="ordered_sets",
            asks="Is a place or a rank followed where no letter is shared?",
            base="none",
            source="numbers",
        ),
        SwapForm(
            name="shuffled",
            asks="Is the place followed, or the letter, or neither?",
            base="shuffled",
            source="shuffled",
            apart=("own", "place", "letter"),
        ),
        SwapForm(
            name="four_lines",
            asks="Is the place followed, the letter, the content, or none of them?",
            base="permuted",
            source="permuted",
            apart=("own", "place", "letter", "content"),
            same_options=True,
        ),
        SwapForm(
            name="across_counts",
            asks="Is a place counted from the start where there are more options?",
            base="6_options",
            source="4_options",
        ),
    )
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class SwapPair:
    """A base and a source with what the source points to, as lines of the base."""

    base: Wording
    source: Wording
    # own, place, letter and content to the base's option there; None: it has none.
    lines: Mapping[str, int | None]


def swap_pairs(
    asked: Sequence[questions.Question], form: SwapForm, *, seed: int = 0
) -> tuple[SwapPair, ...]:
    """Returns one drawn base of every question, with a source for every place.

    Sources are other questions, unless the form's have the same options. Places for
    which no source has everything apart are left out, the base's own among them: then
    read rates of following, and follow-D only where every base has every place.
    """
    if len(asked) < 2:
        raise ValueError(
            f"{len(asked)} questions for swaps of the form {form.name!r}; a source is "
            "another question: give two at least."
        )
    random = np.random.default_rng(seed)

    @functools.cache
    def sources_of(question: questions.Question) -> tuple[Wording, ...]:
        return mutate(question, f"{form.source} + rotations", seed=seed)

    pairs = []
    for question in asked:
        wordings = mutate(question, f"{form.base} + rotations", seed=seed)
        base = wordings[random.integers(len(wordings))]
        others = _sources_for(question, asked, form)
        found = [
            SwapPair(base=base, source=source, lines=lines)
            for other in others
            for source in sources_of(other)
            if _is_apart(lines := lines_of(base, source), form.apart)
        ]
        # Each place by itself: its source is drawn from all questions.
        for place in sorted({pair.source.question.gold for pair in found}):
            own = [pair for pair in found if pair.source.question.gold == place]
            pairs.append(own[random.integers(len(own))])
    if not pairs:
        raise ValueError(
            f"No pair of {len(asked)} questions has {list(form.apart)} on different "
            "lines; use questions with more options."
        )
    return tuple(pairs)


def lines_of(base: Wording, source: Wording) -> dict[str, int | None]:
    """Returns where in the base the source's place, letter and content stand."""
    right = source.question.gold
    text = identity.normalised(source.question.options[right])
    texts = [identity.normalised(option) for option in base.question.options]
    label = source.labels[right]
    return {
        "own": base.question.gold,
        "place": right if right < base.choices else None,
        "letter": base.labels.index(label) if label in base.labels else None,
        "content": texts.index(text) if text in texts else None,
    }


def ask_for(question: questions.Question, option: int) -> questions.Question:
    """Returns the question that asks for another of the same options.

    For tasks whose question holds the right text once (word copy, copied colours).
    """
    right, other = question.options[question.gold], question.options[option]
    if question.text.count(right) != 1:
        raise ValueError(
            f"Question {question.id!r} holds its right text {right!r} "
            f"{question.text.count(right)} times; only one that holds it once can ask "
            "for another option, such as word_copy's."
        )
    text = question.text.replace(right, other)
    return dataclasses.replace(question, text=text, gold=option, id="", form_of="")


def _sources_for(
    question: questions.Question,
    asked: Sequence[questions.Question],
    form: SwapForm,
) -> list[questions.Question]:
    if not form.same_options:
        return [q for q in asked if q.content_id != question.content_id]
    others = (i for i in range(len(question.options)) if i != question.gold)
    return [ask_for(question, option) for option in others]


def _is_apart(lines: Mapping[str, int | None], what: Sequence[str]) -> bool:
    found = [lines[name] for name in what]
    return None not in found and len(set(found)) == len(found)
