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
    # Which lines must differ, out of own, place, letter, content; which must be one.
    apart: tuple[str, ...] = ()
    together: tuple[str, ...] = ()
    # For each of which lines a base has a source.
    each: str = "place"
    # Whether the source asks for another option of the same question (`ask_for`), or
    # is the same question.
    same_options: bool = False
    same_question: bool = False

    @property
    def covers_all(self) -> bool:
        """Whether every base has a source for every line, which follow-D wants."""
        return not self.apart


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
        SwapForm(
            name="unlabelled_line",
            asks="From the start, the end, or by tokens, past a line of no option?",
            base="6_options + neutral_line",
            source="4_options",
        ),
        # The first two again, for tokenizers of few letters.
        SwapForm(
            name="other_letters",
            asks="Is a place followed, or a letter's rank in its alphabet?",
            base="permuted",
            source="ordered_letters + permuted",
        ),
        SwapForm(
            name="ordered_letters",
            asks="Is a place or a rank followed where no letter is shared?",
            base="none",
            source="ordered_letters",
        ),
        # For what is fitted: every place, letters wherever they come to stand.
        SwapForm(
            name="permuted",
            asks="Is the place followed, or the letter? They agree here and there.",
            base="permuted",
            source="permuted",
        ),
        SwapForm(
            name="unseen_letters",
            asks="The same with letters that nothing was fitted on.",
            base="ordered_letters + permuted",
            source="ordered_letters + permuted",
        ),
        SwapForm(
            name="same_place",
            asks="Within one place, is the letter followed?",
            base="permuted",
            source="permuted",
            apart=("own", "letter"),
            together=("own", "place"),
            each="letter",
        ),
        # The counterfactual sets of MIB (Mueller et al. 2025), by their names there.
        SwapForm(
            name="answerPosition",
            asks="Does the answer go along with the place, labels in order?",
            base="none",
            source="none",
            apart=("own", "place"),
            same_question=True,
        ),
        SwapForm(
            name="randomLetter",
            asks="Does the answer stay where only the letters are others?",
            base="none",
            source="random_letters",
            together=("own", "place"),
            same_question=True,
        ),
        SwapForm(
            name="answerPosition_randomLetter",
            asks="Does the answer go along with the place, whatever the letters?",
            base="none",
            source="random_letters",
            apart=("own", "place"),
            same_question=True,
        ),
    )
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class SwapPair:
    """A base and a source with what the source points to, as lines of the base."""

    base: Wording
    source: Wording
    # What `lines_of` names, to the base's option there; None: it has none.
    lines: Mapping[str, int | None]


def swap_pairs(
    asked: Sequence[questions.Question | Wording], form: SwapForm, *, seed: int = 0
) -> tuple[SwapPair, ...]:
    """Returns one drawn base of every question, with a source for every place.

    Sources are other questions, unless the form's have the same options. Places (or
    letters, if the form says so) for which no source has everything apart are left out,
    the base's own among them: then read rates of following, and follow-D only where
    every base has every place.
    """
    if len(asked) < 2:
        raise ValueError(
            f"{len(asked)} questions for swaps of the form {form.name!r}; a source is "
            "another question: give two at least."
        )
    random = np.random.default_rng(seed)
    wordings = [q if isinstance(q, Wording) else Wording(question=q) for q in asked]

    @functools.cache
    def sources_of(wording: Wording) -> tuple[Wording, ...]:
        return mutate(wording, f"{form.source} + rotations", seed=seed)

    pairs = []
    for wording in wordings:
        turned = mutate(wording, f"{form.base} + rotations", seed=seed)
        base = turned[random.integers(len(turned))]
        found = [
            SwapPair(base=base, source=source, lines=lines)
            for other in _sources_for(wording, wordings, form)
            for source in sources_of(other)
            if _fits(lines := lines_of(base, source), form)
        ]
        # Each line by itself: its source is drawn from all questions.
        for line in sorted({_line(pair, form) for pair in found}):
            own = [pair for pair in found if _line(pair, form) == line]
            pairs.append(own[random.integers(len(own))])
    if not pairs:
        raise ValueError(
            f"No pair of {len(asked)} questions has {list(form.apart)} on different "
            "lines; use questions with more options."
        )
    return tuple(pairs)


def lines_of(base: Wording, source: Wording) -> dict[str, int | None]:
    """Returns where in the base stands what the source's right answer is known by.

    own: the base's right answer; place: the source's line, counted from the start;
    from_end: counted from the end; letter: its label; rank: the label of that rank in
    the base's alphabet; content: its text.
    """
    right = source.question.gold
    text = identity.normalised(source.question.options[right])
    texts = [identity.normalised(option) for option in base.question.options]
    label = source.labels[right]
    from_end = right - source.choices + base.choices
    ranked = dict(enumerate(base.alphabet)).get(source.alphabet.index(label))
    return {
        "own": base.question.gold,
        "place": right if right < base.choices else None,
        "from_end": from_end if from_end >= 0 else None,
        "rank": base.labels.index(ranked) if ranked in base.labels else None,
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
    wording: Wording, asked: Sequence[Wording], form: SwapForm
) -> list[Wording]:
    question = wording.question
    if form.same_question:
        return [wording]
    if not form.same_options:
        own = question.content_id
        return [other for other in asked if other.question.content_id != own]
    others = (i for i in range(len(question.options)) if i != question.gold)
    return [
        dataclasses.replace(wording, question=ask_for(question, option))
        for option in others
    ]


def _fits(lines: Mapping[str, int | None], form: SwapForm) -> bool:
    apart = [lines[name] for name in form.apart]
    one = {lines[name] for name in form.together}
    is_apart = None not in apart and len(set(apart)) == len(apart)
    return is_apart and len(one) <= 1


def _line(pair: SwapPair, form: SwapForm) -> int:
    """Which of the lines a source is drawn for; places also where the base has none."""
    if form.each == "place":
        return pair.source.question.gold
    line = pair.lines[form.each]
    assert line is not None  # it stands among those apart
    return line
