"""A head's queries and label keys in three dimensions, of questions not fitted on."""

from typing import TYPE_CHECKING

import numpy as np

from mcq_jax import metrics
from mcq_jax.experiments.ladder_fits import Fits
from mcq_jax.experiments.ladder_rungs import OPTIMAL, RANDOM
from mcq_jax.passes import Part
from mcq_jax.prompts import TokenisedPrompt
from mcq_jax.results import Cloud, Point

if TYPE_CHECKING:
    from mcq_jax.experiments.lab import Lab
    from mcq_jax.experiments.prompt_set import PromptSet

# Prompts that are shown, at most.
_PROMPTS = 80


def cloud_of(
    lab: "Lab",
    asked: "PromptSet",
    reading: np.ndarray,
    name: str,
    head: int,
    fits: Fits,
    table: dict[str, np.ndarray],
) -> Cloud:
    """Returns one head's points, in the score-optimal subspace and in a random one."""
    shown = np.linspace(0, len(reading) - 1, min(_PROMPTS, len(reading))).astype(int)
    prompts = [asked.prompts[reading[i]] for i in shown]
    decode = lab.checkpoint.tokenizer.decode
    own = fits.pair(Part.QUERY, head)
    bases = [
        fits.basis(Part.QUERY, kind, min(3, fits.width))[head]
        for kind in (OPTIMAL, RANDOM)
    ]
    of_queries, of_keys = (
        [(x - fitted.mean(axis=0)) @ basis.T for basis in bases]
        for x, fitted in zip(
            (table["query"][:, head], table["keys"][:, :, head]), own, strict=True
        )
    )
    gold = np.array([asked.prompts[i].gold for i in reading])
    points: list[Point] = []
    for number, (at, prompt) in enumerate(zip(shown, prompts, strict=True)):
        letters = [decode([int(token)]).strip() for token in prompt.label_ids]
        where = [one[at] for one in of_queries]
        points.append(_point(prompt, prompt.gold, letters, number, where, True))
        for line in range(len(letters)):
            where = [one[at, line] for one in of_keys]
            points.append(_point(prompt, line, letters, number, where, False))
    kept = [1 - metrics.score_lost(basis, *own) for basis in bases]
    separable = [
        float((np.einsum("pv,pkv->pk", q, k).argmax(axis=1) == gold).mean())
        for q, k in zip(of_queries, of_keys, strict=True)
    ]
    return Cloud(
        head=name,
        prompts=tuple(decode(prompt.ids.tolist()) for prompt in prompts),
        points=tuple(points),
        kept=kept[0],
        kept_random=kept[1],
        separable=separable[0],
        separable_random=separable[1],
    )


def _point(
    prompt: TokenisedPrompt,
    line: int,
    letters: list[str],
    number: int,
    where: list[np.ndarray],
    is_query: bool,
) -> Point:
    return Point(
        is_query=is_query,
        optimal=_rounded(where[0]),
        random=_rounded(where[1]),
        place=int(prompt.place[line]),
        letter=letters[line],
        gold_letter=letters[prompt.gold],
        seen=bool(prompt.place[line] > prompt.gold_place),
        prompt=number,
    )


def _rounded(values: np.ndarray) -> tuple[float, ...]:
    return tuple(round(float(value), 4) for value in values)
