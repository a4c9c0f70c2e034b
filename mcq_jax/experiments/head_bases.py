"""What heads see on some prompts of a run, and subspaces fitted to that.

Queries at the answer position, and the labels' keys and values, in the query's frame:
what `passes.subspace_edits` keeps or projects. Passes are made once per list of
prompts and heads, in the table `head_views`.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from mcq_jax import metrics, passes
from mcq_jax.interventions import Node
from mcq_jax.passes import Part
from mcq_jax.prompts import TokenisedPrompt

if TYPE_CHECKING:
    from mcq_jax.experiments.lab import Lab

# Prompts that are run together.
_CHUNK = 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class Views:
    """What some heads see of the labels, with which label stands where."""

    heads: tuple[Node, ...]
    query: Float[np.ndarray, "prompt head head_width"]
    keys: Float[np.ndarray, "prompt head choice head_width"]
    values: Float[np.ndarray, "prompt head choice head_width"]
    place: Int[np.ndarray, "prompt choice"]
    letter: Int[np.ndarray, "prompt choice"]
    gold: Int[np.ndarray, " prompt"]

    def rows(self, head: Node, part: Part) -> Float[np.ndarray, "row head_width"]:
        """Queries, one a prompt; of keys and values one row for each label."""
        own = self.heads.index(head)
        if part is Part.QUERY:
            return self.query[:, own]
        seen = self.keys if part is Part.KEYS else self.values
        return seen[:, own].reshape(-1, seen.shape[-1])

    def classes(self, part: Part) -> dict[str, Int[np.ndarray, " row"]]:
        """Place and letter of every row: of the right option, or of each label."""
        both = {"place": self.place, "letter": self.letter}
        if part is Part.QUERY:
            of = np.arange(len(self.gold)), self.gold
            return {name: labels[of] for name, labels in both.items()}
        return {name: labels.ravel() for name, labels in both.items()}


def views_of(
    lab: "Lab", asked: Sequence[TokenisedPrompt], heads: Sequence[Node]
) -> Views:
    """Returns what heads see on prompts, run once per list of both.

    Prompts have one right option each, and the same number of options.
    """
    checkpoint = lab.checkpoint

    def look(chunk: np.ndarray) -> tuple[np.ndarray, ...]:
        seen = passes.seen_by_heads(
            checkpoint.parameters, [asked[i] for i in chunk], heads,
            config=checkpoint.config, prompts_at_once=_CHUNK,
        )  # fmt: skip
        return seen.query, seen.keys, seen.values

    names = ("query", "keys", "values")
    identity = {
        "prompts": [prompt.identity for prompt in asked],
        "labels": [prompt.label_positions for prompt in asked],
        "heads": [str(head) for head in heads],
    }
    table = lab.table("head_views", identity).complete(
        np.array_split(np.arange(len(asked)), -(-len(asked) // _CHUNK)),
        look,
        lambda chunk, found: {"prompt": chunk, **dict(zip(names, found, strict=True))},
        track=lab.track("looking through heads"),
    )
    order = np.argsort(table["prompt"])
    return Views(
        heads=tuple(heads),
        **{name: table[name][order] for name in names},
        place=np.stack([prompt.place for prompt in asked]),
        letter=np.stack([prompt.letter for prompt in asked]),
        gold=np.array([prompt.gold for prompt in asked]),
    )


# A basis for each head and part.
Bases = dict[tuple[Node, Part], metrics.Basis]


def fitted(
    views: Views,
    parts: Sequence[Part],
    fit: Callable[[np.ndarray, Mapping[str, np.ndarray]], metrics.Basis],
) -> Bases:
    """Returns what `fit` makes of every head's and part's rows and their classes."""
    return {
        (head, part): fit(views.rows(head, part), views.classes(part))
        for head in views.heads
        for part in parts
    }


def centred_as(bases: Bases, centers: Bases) -> Bases:
    """Returns the same subspaces, seen from the centers of others."""
    return {
        key: dataclasses.replace(basis, center=centers[key].center)
        for key, basis in bases.items()
    }
