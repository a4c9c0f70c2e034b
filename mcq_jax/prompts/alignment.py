"""From characters to tokens: which tokens a span covers, which token answers.

A token belongs to every span it shares a character with: tokenizers may glue a full
stop to the line break after it, or an open bracket to the label.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from mcq_jax.prompts import rendering
from mcq_jax.prompts import tokenizer as tokenizers


def token_spans(
    spans: Sequence[rendering.Span], offsets: Sequence[tuple[int, int]], *, prompt: str
) -> tuple[rendering.Span, ...]:
    """Returns the spans in token positions.

    Args:
      prompt: how errors call the prompt.
    """
    starts = np.array([start for start, _ in offsets])
    ends = np.array([end for _, end in offsets])
    found = []
    for span in spans:
        touched = np.flatnonzero((starts < span.end) & (ends > span.start))
        if not touched.size:
            # White space may have no token of its own.
            continue
        found.append(
            rendering.Span(
                kind=span.kind,
                option=span.option,
                start=int(touched[0]),
                end=int(touched[-1]) + 1,
            )
        )
    _check_kept(spans, found, prompt=prompt)
    return tuple(found)


def label_positions(
    spans: Sequence[rendering.Span],
    labels: Sequence[str],
    tokens: Sequence[str],
    *,
    prompt: str,
) -> Int[np.ndarray, " choice"]:
    """Returns where each label stands; refuses labels that are not one token each.

    The token may hold a bracket or space besides the label, but no other label and no
    option: a label's key is computed before its option is read.

    Args:
      spans: in token positions.
      tokens: the text of each token, for errors.
    """
    positions = np.zeros(len(labels), np.int32)
    for span in spans:
        if span.kind != "label":
            continue
        if span.end - span.start != 1:
            raise ValueError(
                f"Label {labels[span.option]!r} is {span.end - span.start} tokens "
                f"{list(tokens[span.start : span.end])} in {prompt}, not one; choose "
                "other labels or another template."
            )
        positions[span.option] = span.start
    options = {
        position
        for span in spans
        if span.kind == "option"
        for position in range(span.start, span.end)
    }
    if len(set(positions.tolist()) - options) != len(labels):
        shown = [tokens[position] for position in positions.tolist()]
        raise ValueError(
            f"Labels {list(labels)} stand in tokens {shown} of {prompt}, so some share "
            "a token with each other or with an option; choose another template."
        )
    return positions


def answer_ids(
    text: str,
    answers: Sequence[str],
    ids: Sequence[int],
    tokenizer: tokenizers.Tokenizer,
    *,
    prompt: str,
    special: bool = True,
) -> Int[np.ndarray, " choice"]:
    """Returns the token that says each answer after `text`, whose tokens are `ids`.

    Text and answer are tokenised together, because that is what a model was trained on:
    the prompt's own tokens must stay as they are, and exactly one must follow them.
    """
    found = []
    for answer in answers:
        longer = tokenizer.encode(text + answer, special=special).ids
        if len(longer) != len(ids) + 1 or longer[:-1] != list(ids):
            kept = _common_length(ids, longer)
            raise ValueError(
                f"Answer {answer!r} is not one token after {prompt}: the prompt ends "
                f"in {_texts(tokenizer, ids[kept:] or ids[-1:])}, with the answer it "
                f"ends in {_texts(tokenizer, longer[kept:])}; choose other labels or "
                "another template."
            )
        found.append(longer[-1])
    require_distinct(found, answers, what="Answers", prompt=prompt)
    return np.array(found, np.int32)


def require_distinct(
    ids: Sequence[int], texts: Sequence[str], *, what: str, prompt: str
) -> None:
    """Refuses two texts with the same token, such as an unknown-word token."""
    if len(set(ids)) != len(set(texts)):
        raise ValueError(
            f"{what} {list(texts)} in {prompt} are tokens {list(ids)}, so some are the "
            "same; choose other labels."
        )


def require_other_options(
    spans: Sequence[rendering.Span],
    right: Sequence[bool],
    ids: Sequence[int],
    *,
    prompt: str,
) -> None:
    """Refuses a wrong option that has the right one's tokens: the model sees two right.

    A tokenizer may drop case or accents, or know neither of two words.

    Args:
      spans: in token positions.
      right: which options are right.
    """
    shown = {
        span.option: list(ids[span.start : span.end])
        for span in spans
        if span.kind == "option"
    }
    rights = {option: tokens for option, tokens in shown.items() if right[option]}
    for option, tokens in shown.items():
        for other, same in rights.items():
            if not right[option] and tokens == same:
                raise ValueError(
                    f"Options {option} and {other} of {prompt} are the same tokens "
                    f"{tokens} to this tokenizer, and one of them is right; leave the "
                    "question out."
                )


def _check_kept(
    spans: Sequence[rendering.Span], found: Sequence[rendering.Span], *, prompt: str
) -> None:
    """Every label, and whatever a user named, must have tokens."""
    blank = {"prefix", "shots", "question", "option", "line_end", "cue"}
    kept = {(span.kind, span.option) for span in found}
    for span in spans:
        if span.kind not in blank and (span.kind, span.option) not in kept:
            raise ValueError(
                f"No token covers span {span.kind!r} (characters {span.start} to "
                f"{span.end}) of {prompt}; choose characters that the tokenizer shows."
            )


def _common_length(left: Sequence[int], right: Sequence[int]) -> int:
    count = 0
    for a, b in zip(left, right, strict=False):
        if a != b:
            break
        count += 1
    return count


def _texts(tokenizer: tokenizers.Tokenizer, ids: Sequence[int]) -> list[str]:
    return [tokenizer.decode([index]) for index in ids]
