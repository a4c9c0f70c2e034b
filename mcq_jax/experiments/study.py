"""`Study`: the prompts whose nodes are patched, in chunks, with their sources."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from mcq_jax import metrics
from mcq_jax.experiments.prompt_set import PromptSet
from mcq_jax.prompts import TokenisedPrompt
from mcq_jax.sweeps.sources import Sources


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
    """Studied prompts come first; a pair's source prompts, which are not, follow."""

    prompts: tuple[TokenisedPrompt, ...]
    gold: Int[np.ndarray, " studied"]
    question: np.ndarray  # [studied]
    # True: nodes are chosen on this prompt; False: they are tested on it.
    choosing: Bool[np.ndarray, " studied"]
    sources: Sources
    # Studied prompts that are run together: the rotations of one question.
    chunks: tuple[Int[np.ndarray, " chunk"], ...]

    @property
    def identity(self) -> dict[str, Any]:
        """What tables of the studied prompts depend on."""
        return {
            "prompts": [prompt.identity for prompt in self.prompts],
            "sources": self.sources,
            "chunks": list(self.chunks),
        }


def study_questions(
    asked: PromptSet, chosen: Sequence[str], choosing: np.ndarray, sources: Sources
) -> Study:
    """Returns the study of all prompts of the chosen questions."""
    keep = np.isin(asked.question, list(chosen))
    question = asked.question[keep]
    names = list(dict.fromkeys(question.tolist()))
    return Study(
        prompts=tuple(np.array(asked.prompts, object)[keep]),
        gold=asked.gold[keep],
        question=question,
        choosing=choosing,
        sources=sources,
        chunks=tuple(np.flatnonzero(question == name) for name in names),
    )


def study_pairs(
    asked: PromptSet, chosen: Int[np.ndarray, " pair"], choosing: np.ndarray
) -> Study:
    """Returns the study of the chosen pairs' clean prompts."""
    assert asked.pair_source is not None
    sources = asked.pair_source[chosen]
    order = np.concatenate([chosen, sources])
    return Study(
        prompts=tuple(asked.prompts[i] for i in order),
        gold=asked.gold[chosen],
        question=asked.question[chosen],
        choosing=choosing,
        sources=Sources.of_pairs(len(chosen)),
        chunks=tuple(np.array_split(np.arange(len(chosen)), -(-len(chosen) // 4))),
    )


def split_in_two(
    question: np.ndarray, *, fraction: float, seed: int
) -> Bool[np.ndarray, " prompt"] | None:
    """Returns on which prompts nodes are chosen, None if a half is too small."""
    if len(np.unique(question)) < 4:
        return None
    try:
        choosing = metrics.split_by_question(question, fraction=fraction, seed=seed)
    except ValueError:  # one half is empty
        return None
    halves = (question[choosing], question[~choosing])
    return choosing if min(len(np.unique(half)) for half in halves) >= 2 else None
