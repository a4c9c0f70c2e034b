"""Kinds of token at which something may stand: labels, option ends, line ends, last."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from mcq_jax.prompts import KeyClass, TokenisedPrompt, key_classes

LABELS, OPTION_ENDS, LINE_ENDS = "labels", "option ends", "line ends"
LAST = "last token"
KINDS = (LABELS, OPTION_ENDS, LINE_ENDS, LAST)
_CLASSES = {
    LABELS: KeyClass.LABEL,
    OPTION_ENDS: KeyClass.OPTION,
    LINE_ENDS: KeyClass.LINE_END,
}


def positions_of(
    asked: Sequence[TokenisedPrompt], kind: str
) -> Int[np.ndarray, "prompt selected"] | None:
    """Returns each prompt's tokens of a kind, line by line: the last one of each line.

    None where some line has none of its own, such as a line end that is glued to the
    option, or is the last line's.
    """
    if kind == LAST:
        return np.array([[len(prompt.ids) - 1] for prompt in asked])
    rows = [_of_prompt(prompt, _CLASSES[kind]) for prompt in asked]
    return None if any(row is None for row in rows) else np.array(rows)


def _of_prompt(prompt: TokenisedPrompt, wanted: KeyClass) -> list[int] | None:
    kinds, options = key_classes(prompt)
    found = []
    for option in range(len(prompt.answer_ids)):
        own = np.flatnonzero((kinds == wanted) & (options == option))
        if not len(own):
            return None
        found.append(int(own[-1]))
    return found


def kinds_of(*lists: Sequence[TokenisedPrompt]) -> tuple[str, ...]:
    """Returns the kinds that every prompt of some lists has on every line."""
    return tuple(
        kind
        for kind in KINDS
        if all(positions_of(asked, kind) is not None for asked in lists)
    )


def suffix_of(asked: Sequence[TokenisedPrompt]) -> int:
    """Returns how many last tokens hold the labels and all behind them."""
    return max(len(prompt.ids) - int(prompt.label_positions.min()) for prompt in asked)
