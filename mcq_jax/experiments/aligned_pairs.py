"""Pairs of prompts whose tokens stand for each other one by one, and kinds of tokens.

A source is another order of the same question, a placebo another question whose right
option stands on the same line; both with the same kind of token, of the same line, at
every position, and the same last token. So any stretch can be interchanged in place.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, Shaped

from mcq_jax.prompts import KeyClass, TokenisedPrompt, key_classes

QUESTION, LABELS, TEXT, ENDS, CUE, OTHERS = range(6)
TOKEN_KINDS = (
    "question", "labels", "option text", "line ends", "cue", "other tokens",
)  # fmt: skip
_OF_CLASS = {
    KeyClass.QUESTION: QUESTION,
    KeyClass.LABEL: LABELS,
    KeyClass.OPTION: TEXT,
    KeyClass.LINE_END: ENDS,
    KeyClass.CUE: CUE,
}


def token_kinds(prompt: TokenisedPrompt) -> Int[np.ndarray, " position"]:
    """Returns every token's kind, as an index into `TOKEN_KINDS`."""
    kinds, _ = key_classes(prompt)
    return np.array([_OF_CLASS.get(KeyClass(kind), OTHERS) for kind in kinds])


def lines(prompt: TokenisedPrompt) -> Int[np.ndarray, " position"]:
    """Returns the line that every token of an option belongs to, from 0; else -1."""
    _, options = key_classes(prompt)
    return np.where(options < 0, -1, prompt.place[options])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pairs:
    """Which prompts are patched, and from which; prompts as places in a list."""

    prompts: tuple[TokenisedPrompt, ...]
    prompt: Int[np.ndarray, " pair"]
    source: Int[np.ndarray, " pair"]
    # -1: no other question is aligned.
    placebo: Int[np.ndarray, " pair"]
    question: Shaped[np.ndarray, " pair"]
    choosing: Bool[np.ndarray, " pair"]
    # Prompts without an aligned source.
    left_out: int

    @property
    def gold(self) -> Int[np.ndarray, " pair"]:
        return np.array([self.prompts[i].gold for i in self.prompt])

    @property
    def chunks(self) -> list[Int[np.ndarray, " chunk"]]:
        """Pairs of one question and one length, at most four."""
        lengths = [len(self.prompts[i].ids) for i in self.prompt]
        found: dict[tuple, list[int]] = {}
        for pair, key in enumerate(zip(self.question, lengths, strict=True)):
            found.setdefault(key, []).append(pair)
        return [
            np.array(pairs[start : start + 4])
            for pairs in found.values()
            for start in range(0, len(pairs), 4)
        ]

    def take(self, chosen: Bool[np.ndarray, " pair"]) -> "Pairs":
        """Returns some of the pairs."""
        names = ("prompt", "source", "placebo", "question", "choosing")
        some = {name: getattr(self, name)[chosen] for name in names}
        return dataclasses.replace(self, **some)

    def asked(self, pairs: Int[np.ndarray, " chunk"]) -> list[TokenisedPrompt]:
        """Prompts, then sources, then placebos; a missing placebo is the prompt."""
        own, source = self.prompt[pairs], self.source[pairs]
        placebo = np.where(self.placebo[pairs] < 0, own, self.placebo[pairs])
        return [self.prompts[i] for i in (*own, *source, *placebo)]

    @property
    def identity(self) -> dict[str, Any]:
        used = sorted({*self.prompt, *self.source, *self.placebo} - {-1})
        return {
            "prompts": {int(i): self.prompts[i].identity for i in used},
            "pairs": [self.prompt, self.source, self.placebo],
            "kinds": {int(i): token_kinds(self.prompts[i]) for i in used},
        }


def aligned_pairs(
    prompts: Sequence[TokenisedPrompt],
    question: Shaped[np.ndarray, " prompt"],
    choosing: Bool[np.ndarray, " prompt"],
    *,
    per_question: int,
    seed: int,
) -> Pairs:
    """Draws for some prompts of every question a source and a placebo of their half.

    Prompts that nothing is aligned with are passed over, and counted.
    """
    generator = np.random.default_rng(seed)
    layouts = np.array([_layout(prompt) for prompt in prompts])
    place = np.array([prompt.gold_place for prompt in prompts])
    rows, left_out = [], 0
    for name in dict.fromkeys(question.tolist()):
        wanted = per_question
        for prompt in generator.permutation(np.flatnonzero(question == name)):
            alike = layouts == layouts[prompt]
            own = question == name
            source = np.flatnonzero(alike & own & (place != place[prompt]))
            if not len(source):
                left_out += 1
                continue
            same_half = choosing == choosing[prompt]
            other = alike & ~own & same_half & (place == place[prompt])
            placebo = np.flatnonzero(other)
            drawn = generator.choice(placebo) if len(placebo) else -1
            rows.append((prompt, generator.choice(source), drawn))
            wanted -= 1
            if not wanted:
                break
    if not rows:
        raise ValueError(
            f"no two orders of any of {len(set(question.tolist()))} questions have "
            "their tokens in the same places: options differ in length. Ask questions "
            "with options of equally many tokens."
        )
    found = np.array(rows)
    return Pairs(
        prompts=tuple(prompts),
        prompt=found[:, 0],
        source=found[:, 1],
        placebo=found[:, 2],
        question=question[found[:, 0]],
        choosing=choosing[found[:, 0]],
        left_out=left_out,
    )


def _layout(prompt: TokenisedPrompt) -> str:
    """Equal for prompts that are aligned."""
    kinds, _ = key_classes(prompt)
    return str((kinds.tolist(), lines(prompt).tolist(), int(prompt.ids[-1])))
