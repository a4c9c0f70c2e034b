"""Cloze prompts: a question without its options, which are what the model says next.

    Which planet is largest?            no options, no labels
    Answer: Jupiter                     each option in turn, scored token by token

So a model can be asked for what it knows without having to find a letter (the cloze
prompts of Robinson et al. 2023, arXiv 2210.12353, beside their multiple-choice ones).
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from mcq_jax.prompts import chat as chats
from mcq_jax.prompts import questions, rendering
from mcq_jax.prompts import tokenizer as tokenizers
from mcq_jax.prompts.tokens import check_length

_BEFORE_TEXT = " "


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClozePrompt:
    """One question's options as continuations; `[option]` in the question's order."""

    # Everything up to an option's last token.
    ids: tuple[Int[np.ndarray, " position"], ...]
    # Where what is scored begins: the tokens before are the same for all options, but
    # for a token that spans the seam.
    starts: Int[np.ndarray, " choice"]
    gold: int
    # Names the content, as `TokenisedPrompt.content_id` does.
    content_id: str
    text: str


def cloze(
    question: questions.Question,
    tokenizer: tokenizers.Tokenizer,
    template: rendering.Template = rendering.PLAIN_PAREN,
    *,
    shows_question: bool = True,
    chat: chats.ChatTemplate | None = None,
    context: int | None = None,
) -> ClozePrompt:
    """Returns the options of a question as what may come behind it.

    Args:
        template: gives the words that ask for an answer (its `content_cue`); its
            prefix, which promises options, is left out.
        shows_question: without it, what remains is how likely the texts are anyway.
        chat: puts the question into the user's message and starts the reply with the
            cue.
        context: the longest prompt, in tokens, that the model can read.
    """
    prompt = f"cloze prompt of question {question.id!r}"
    asked = question.text.strip() if shows_question else ""
    before, after = ("", "") if chat is None else chat.around(asked)
    between = template.after_question if asked and chat is None else ""
    begun = before + asked + after + between + template.content_cue
    special = chat is None
    ids = [
        np.array(
            tokenizer.encode(begun + _BEFORE_TEXT + option, special=special).ids,
            np.int32,
        )
        for option in question.options
    ]
    for one in ids:
        check_length(one.tolist(), context, prompt=prompt)
    seam = np.array(tokenizer.encode(begun, special=special).ids, np.int32)
    starts = np.array([_common(seam, one) for one in ids], np.int32)
    if starts.min() < 1:
        raise ValueError(
            f"the {prompt} begins with its option: "
            "this tokenizer writes no first token, and the cue is empty or one with "
            "the option. Give the template a content_cue."
        )
    return ClozePrompt(
        ids=tuple(ids),
        starts=starts,
        gold=question.gold,
        content_id=question.content_id,
        text=begun,
    )


def cloze_rows(
    prompts: Sequence[ClozePrompt],
) -> tuple[
    Int[np.ndarray, "row position"], Int[np.ndarray, " row"], Int[np.ndarray, " row"]
]:
    """Returns right-padded tokens, lengths and starts, a row for every option."""
    rows = [ids for prompt in prompts for ids in prompt.ids]
    lengths = np.array([len(ids) for ids in rows], np.int32)
    tokens = np.zeros((len(rows), lengths.max()), np.int32)
    for row, ids in enumerate(rows):
        tokens[row, : len(ids)] = ids
    return tokens, lengths, np.concatenate([prompt.starts for prompt in prompts])


def _common(first: np.ndarray, second: np.ndarray) -> int:
    size = min(len(first), len(second) - 1)
    differs = np.flatnonzero(first[:size] != second[:size])
    return int(differs[0]) if len(differs) else size
