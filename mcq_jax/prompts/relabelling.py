"""Other labels for the same options: what tells "N-th item" from "the line labelled B".

Options and their places stay; each function returns a wording, or several. An alphabet
is always in its own order, so that a gold letter is also a rank among the labels.
"""

import dataclasses
import itertools
import math
import string
from collections.abc import Sequence

import numpy as np

from mcq_jax.prompts.wording import Wording

# All orders of 6 labels; a question is not asked more often.
MOST_ORDERS = 720


def relabel(wording: Wording, labels: Sequence[str]) -> Wording:
    """Returns the wording with the first of these labels, in this order."""
    if len(labels) < wording.choices:
        raise ValueError(
            f"{len(labels)} labels {list(labels)} for the {wording.choices} options of "
            f"question {wording.question.id!r}; give at least as many."
        )
    chosen = tuple(labels[: wording.choices])
    return dataclasses.replace(wording, labels=chosen, alphabet=chosen)


def lower_case(wording: Wording) -> Wording:
    """Returns the wording with small letters for capital ones."""
    labels = tuple(label.lower() for label in wording.labels)
    if labels == wording.labels:
        raise ValueError(
            f"Labels {list(labels)} of question {wording.question.id!r} have no "
            "capitals; leave lower case out."
        )
    alphabet = tuple(label.lower() for label in wording.alphabet)
    return dataclasses.replace(wording, labels=labels, alphabet=alphabet)


def random_letters(
    wording: Wording, random: np.random.Generator, *, which: int = 0
) -> Wording:
    """Returns the wording with capital letters drawn outside its alphabet.

    Never in alphabetical order, which would tell their place.

    Args:
      which: of the disjoint sets that one draw of the generator makes.
    """
    pool = [a for a in string.ascii_uppercase if a not in wording.alphabet]
    start, stop = which * wording.choices, (which + 1) * wording.choices
    if stop > len(pool):
        raise ValueError(
            f"Set {which} of {wording.choices} random letters out of {len(pool)}; ask "
            "for fewer sets, or for questions with fewer options."
        )
    drawn = [pool[index] for index in random.permutation(len(pool))][start:stop]
    alphabet = sorted(drawn)
    labels = drawn[::-1] if drawn == alphabet else drawn
    return dataclasses.replace(wording, labels=tuple(labels), alphabet=tuple(alphabet))


def reverse(wording: Wording) -> Wording:
    """Returns the wording with its labels from the last line to the first."""
    return _in_order(wording, range(wording.choices)[::-1])


def permute(wording: Wording, random: np.random.Generator) -> Wording:
    """Returns the wording with its labels in any order, all equally likely."""
    return _in_order(wording, random.permutation(wording.choices))


def derange(wording: Wording, random: np.random.Generator) -> Wording:
    """Returns the wording with every label on another line than its own.

    All such orders are equally likely. A label's own line is its rank.
    """
    own = _own_order(wording)
    while True:
        order = random.permutation(wording.choices)
        if (order != np.arange(wording.choices)).all():
            return dataclasses.replace(wording, labels=tuple(own[i] for i in order))


def permutations(wording: Wording) -> tuple[Wording, ...]:
    """Returns one wording for each order of the labels, their own order first."""
    if math.factorial(wording.choices) > MOST_ORDERS:
        raise ValueError(
            f"All orders of {wording.choices} labels are "
            f"{math.factorial(wording.choices)} prompts a question, more than "
            f"{MOST_ORDERS}; use a Latin square, or draw orders one by one."
        )
    orders = itertools.permutations(_own_order(wording))
    return tuple(dataclasses.replace(wording, labels=order) for order in orders)


def derangements(wording: Wording) -> tuple[Wording, ...]:
    """Returns those orders in which every label is on another line than its own.

    Among them place and letter correlate (by -1 / (n - 1)): fit on all permutations.
    """
    own = _own_order(wording)
    return tuple(
        shuffled
        for shuffled in permutations(wording)
        if all(a != b for a, b in zip(shuffled.labels, own, strict=True))
    )


def latin_square(wording: Wording) -> tuple[Wording, ...]:
    """Returns the n cyclic shifts of the labels: each letter on each line once."""
    own = _own_order(wording)
    return tuple(
        dataclasses.replace(wording, labels=own[shift:] + own[:shift])
        for shift in range(len(own))
    )


def repeat(wording: Wording) -> Wording:
    """Returns the wording with every label on two lines: A, A, B, B.

    What is right is a label, so that gold is a set of options.
    """
    own = _own_order(wording)
    labels = tuple(own[index // 2] for index in range(len(own)))
    return dataclasses.replace(
        wording, labels=labels, alphabet=tuple(dict.fromkeys(labels))
    )


def _in_order(wording: Wording, order: Sequence[int] | np.ndarray) -> Wording:
    own = _own_order(wording)
    return dataclasses.replace(wording, labels=tuple(own[index] for index in order))


def _own_order(wording: Wording) -> tuple[str, ...]:
    if wording.repeats_labels:
        raise ValueError(
            f"Labels {list(wording.labels)} of question {wording.question.id!r} repeat "
            "each other and cannot be put in another order; repeat labels last."
        )
    return tuple(sorted(wording.labels, key=wording.alphabet.index))
