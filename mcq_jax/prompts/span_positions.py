"""Where a named stretch of each prompt stands: positions for edits and captures."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Int

from mcq_jax.prompts.tokens import TokenisedPrompt


def span_positions(
    prompts: Sequence[TokenisedPrompt],
    kind: str,
    option: int | Sequence[int] | None = None,
    *,
    part: Literal["all", "first", "last"] = "all",
) -> Int[np.ndarray, "prompt selected"]:
    """Returns the token positions of every prompt's span of a kind.

    Args:
        kind: "label", "option", "question", …, as the prompts' spans are named.
        option: whose label, option or line end; one number for each prompt (such as
            its gold) where they differ. None takes those of all options, in order.
        part: the first or last token of each span, or all of its tokens, of which all
            prompts must then have the same number.
    """
    options = option if isinstance(option, Sequence) else [option] * len(prompts)
    if len(options) != len(prompts):
        raise ValueError(f"{len(options)} options for {len(prompts)} prompts.")
    rows = [
        _positions(prompt, kind, chosen, part)
        for prompt, chosen in zip(prompts, options, strict=True)
    ]
    counts = sorted({len(row) for row in rows})
    if len(counts) != 1:
        raise ValueError(
            f"spans {kind!r} of {counts} tokens in one list of prompts; ask for "
            "part='first' or 'last', or sort the prompts by this number."
        )
    return np.array(rows, np.int32)


def _positions(
    prompt: TokenisedPrompt, kind: str, option: int | None, part: str
) -> list[int]:
    found = [
        span
        for span in prompt.spans
        if span.kind == kind and option in (None, span.option)
    ]
    if not found:
        known = sorted({span.kind for span in prompt.spans})
        whose = "" if option is None else f" of option {option}"
        raise ValueError(
            f"question {prompt.question!r} has no span {kind!r}{whose}; its spans are "
            f"{known}."
        )
    ranges = [range(span.start, span.end) for span in found]
    pick = {"all": slice(None), "first": slice(1), "last": slice(-1, None)}[part]
    return [position for tokens in ranges for position in tokens[pick]]
