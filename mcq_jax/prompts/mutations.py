"""Mutations applied: prompts that differ from a question's own in one respect.

A mutation takes a wording to one wording or several, and several of them one after the
other are a mutation too. So a grid of mutations is a list of names. Where the right
option stands (gold place) and which label it carries (gold letter) are two columns of
every prompt made here; the content id stays that of the question.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from mcq_jax.prompts import questions
from mcq_jax.prompts.mutation_table import MUTATIONS, Draws, Mutation
from mcq_jax.prompts.wording import Wording


def mutate(
    asked: questions.Question | Wording,
    mutations: str | Mutation | Sequence[str | Mutation],
    *,
    seed: int = 0,
) -> tuple[Wording, ...]:
    """Returns all wordings that mutations make of a question, one after the other.

    Options first, then labels and lines, repeated labels last: an order that makes no
    sense is refused, and so is a mutation that would change nothing.

    Args:
      mutations: names out of `MUTATIONS`, such as "numbers + reversed", or one's own.
      seed: for what is drawn. Draws for a prompt depend on it, on the question and on
        the mutation, not on the other questions.
    """
    found = (asked if isinstance(asked, Wording) else Wording(question=asked),)
    is_one = isinstance(mutations, str | Mutation)
    for one in (mutations,) if is_one else mutations:
        for mutation in mutations_of(one) if isinstance(one, str) else (one,):
            found = tuple(
                made for wording in found for made in _mutated(wording, mutation, seed)
            )
    return found


def mutations_of(name: str) -> tuple[Mutation, ...]:
    """Returns the mutations of a name; `+` stands between several."""
    names = [part.strip() for part in name.split("+")]
    unknown = [part for part in names if part not in MUTATIONS]
    if unknown:
        raise ValueError(
            f"No mutation is called {unknown}; there are {', '.join(MUTATIONS)}."
        )
    return tuple(MUTATIONS[part] for part in names)


def _mutated(wording: Wording, mutation: Mutation, seed: int) -> tuple[Wording, ...]:
    if mutation.draws is Draws.NOTHING:
        found = mutation.change(wording)
    else:
        drawn_for: list[Any] = []
        if mutation.draws is Draws.PER_PROMPT:
            question = wording.question
            drawn_for = [mutation.name, question.content_id, wording.rotation]
        digest = hashlib.sha256(repr(drawn_for).encode()).digest()
        random = np.random.default_rng([seed, int.from_bytes(digest[:8])])
        found = mutation.change(wording, random)
    return (found,) if isinstance(found, Wording) else found
