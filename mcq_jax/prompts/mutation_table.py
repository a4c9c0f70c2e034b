"""`MUTATIONS`: every mutation by its name, with what it changes and what it keeps."""

import dataclasses
import enum
import functools
from collections.abc import Callable, Mapping
from typing import Any

from mcq_jax.prompts import relabelling, rewording
from mcq_jax.prompts.wording import Wording


class Draws(enum.Enum):
    """Whether a mutation draws anything, and how often."""

    NOTHING = "nothing"
    ONCE = "once, the same for all questions"
    PER_PROMPT = "for each prompt anew"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mutation:
    """What is changed of a prompt, in words and as a function."""

    name: str
    # What becomes different, and what stays, each in a sentence.
    changes: str
    keeps: str
    # From a wording (and a generator, if anything is drawn) to one or several.
    change: Callable[..., Wording | tuple[Wording, ...]]
    draws: Draws = Draws.NOTHING


def _labels(name: str, changes: str, change: Callable, **fields: Any) -> Mutation:
    keeps = "The options, their places and all words around the labels."
    fields = {"keeps": keeps} | fields
    return Mutation(name=name, changes=changes, change=change, **fields)


def _words(name: str, changes: str, change: Callable, **fields: Any) -> Mutation:
    keeps = "The options, their places, their labels and all other words."
    fields = {"keeps": keeps} | fields
    return Mutation(name=name, changes=changes, change=change, **fields)


def _template(name: str, changes: str, **fields: Any) -> Mutation:
    return _words(name, changes, functools.partial(rewording.with_template, **fields))


def _options(name: str, changes: str, change: Callable, keeps: str, **fields: Any):
    return Mutation(name=name, changes=changes, change=change, keeps=keeps, **fields)


_ONCE, _PER_PROMPT = {"draws": Draws.ONCE}, {"draws": Draws.PER_PROMPT}
_partial = functools.partial
_relabel = relabelling.relabel

_ALL = (
    Mutation(
        name="none",
        changes="Nothing.",
        keeps="Everything: what the others are compared with.",
        change=lambda wording: wording,
    ),
    # Labels.
    _labels(
        "ordered_letters",
        "Labels are E, F, G, … in alphabetical order.",
        _partial(_relabel, labels="EFGHIJKLMN"),
    ),
    _labels(
        "numbers",
        "Labels are 1, 2, 3, ….",
        _partial(_relabel, labels=tuple(str(n) for n in range(1, 11))),
    ),
    _labels("lower_case", "Labels are small letters.", relabelling.lower_case),
    _labels(
        "random_letters",
        "Labels are capitals outside the alphabet, in no order, one draw for all.",
        relabelling.random_letters,
        **_ONCE,
    ),
    _labels(
        "other_random_letters",
        "As random_letters, and with no letter in common with them.",
        _partial(relabelling.random_letters, which=1),
        **_ONCE,
    ),
    _labels(
        "reversed", "Labels stand from the last to the first.", relabelling.reverse
    ),
    _labels(
        "permuted",
        "Labels stand in a drawn order, any one.",
        relabelling.permute,
        **_PER_PROMPT,
    ),
    _labels(
        "shuffled",
        "Labels stand in a drawn order, none on its own line.",
        relabelling.derange,
        **_PER_PROMPT,
    ),
    _labels(
        "permutations", "Labels stand in every order once.", relabelling.permutations
    ),
    _labels(
        "derangements",
        "Labels stand in every order in which none is on its own line.",
        relabelling.derangements,
    ),
    _labels(
        "latin_square",
        "Labels stand in their n cyclic shifts: each letter on each line once.",
        relabelling.latin_square,
    ),
    _labels(
        "repeated_labels",
        "Labels stand on two lines each, so that gold is a set of options.",
        relabelling.repeat,
    ),
    # Separators, prelude, cue, order of the parts.
    _template("bracket_behind", "Lines are A) ….", before_label="", after_label=") "),
    _template("dot_behind", "Lines are A. ….", before_label="", after_label=". "),
    _template("colon_behind", "Lines are A: ….", before_label="", after_label=": "),
    _template("round_brackets", "Lines are (A) ….", before_label="(", after_label=") "),
    _template(
        "square_brackets", "Lines are [A] ….", before_label="[", after_label="] "
    ),
    _template("full_stops", "A full stop ends a line, no line break.", line_end=". "),
    _template("one_line", "A space ends a line, no line break.", line_end=" "),
    _words("prelude", "The paper's sentence stands in front.", rewording.with_prelude),
    _words("no_prelude", "No sentence stands in front.", rewording.without_prelude),
    _words(
        "cue_solution",
        'The cue says "Solution:".',
        _partial(rewording.with_cue_words, words="Solution:"),
    ),
    _words(
        "cue_correct_option",
        'The cue says "The correct option is".',
        _partial(rewording.with_cue_words, words="The correct option is"),
    ),
    _template("options_first", "The question follows the options.", options_first=True),
    _template("question_removed", "The question is not shown.", shows_question=False),
    _words(
        "neutral_line",
        "A line that is no option stands before one, drawn.",
        rewording.neutral_line,
        keeps="The options, their order and labels; lines behind it move down.",
        **_PER_PROMPT,
    ),
    _words(
        "neutral_line_everywhere",
        "A line that is no option stands before each option in turn.",
        rewording.neutral_line_everywhere,
        keeps="The options, their order and labels; lines behind it move down.",
    ),
    # Options.
    _options(
        "rotations",
        "Options stand in their n cyclic shifts.",
        rewording.rotations,
        "The labels on their lines and all words around them.",
    ),
    *(
        _options(
            f"{count}_options",
            f"All but {count} options are left out, wrong ones, drawn.",
            _partial(rewording.keep_options, count=count),
            "The right option, the order of those that stay and the first labels.",
            **_PER_PROMPT,
        )
        for count in range(2, 11)
    ),
    _options(
        "two_right_options",
        "A second right text takes the place of a wrong one, drawn.",
        rewording.two_right_options,
        "The other options, all places and labels; gold becomes a set.",
        **_PER_PROMPT,
    ),
    _options(
        "none_of_the_above",
        'One more option is "None of the above", and wrong.',
        rewording.with_none_of_them,
        "All options, their places and labels.",
    ),
    _options(
        "none_is_right",
        'The right text is gone, and "None of the above" is last and right.',
        rewording.none_is_right,
        "The wrong options, their order and number; gold is always the last line.",
    ),
)

MUTATIONS: Mapping[str, Mutation] = {mutation.name: mutation for mutation in _ALL}
