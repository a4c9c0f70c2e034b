"""What rungs put in place, from fitting questions: means, bases, other prompts."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import numpy as np
from jaxtyping import Bool, Float, Int

from mcq_jax import metrics
from mcq_jax.experiments.ladder_rungs import (
    ALIKE,
    ALONE,
    BUT_SEEN,
    DIRECTION,
    INTACT,
    OPTIMAL,
    PARTS,
    TERMS,
    VARIANCE,
    WITH_LARGEST,
    WITH_SEEN,
    Described,
    Rung,
    describe_terms,
)
from mcq_jax.metrics.feature_means import (
    SEEN,
    Features,
    alike,
    fitted_means,
    unknown_rows,
)
from mcq_jax.passes import Part, StandIns
from mcq_jax.prompts import TokenisedPrompt

Method = TypeVar("Method", bound=Callable[..., np.ndarray])


def _made_once(method: Method) -> Method:
    """Keeps what a method returns, with the fits that it belongs to."""

    @functools.wraps(method)
    def once(self: "Fits", *arguments):
        key = (method.__name__, *arguments)
        if key not in self._made:
            self._made[key] = method(self, *arguments)
        return self._made[key]

    return cast(Method, once)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lines:
    """What the labels and the right options of some prompts are."""

    place: Int[np.ndarray, "prompt choice"]
    letter: Int[np.ndarray, "prompt choice"]
    gold: Int[np.ndarray, " prompt"]
    letters: int

    @classmethod
    def of(cls, prompts: Sequence[TokenisedPrompt], letters: int) -> "Lines":
        return cls(
            place=np.stack([prompt.place for prompt in prompts]),
            letter=np.stack([prompt.letter for prompt in prompts]),
            gold=np.array([prompt.gold for prompt in prompts]),
            letters=letters,
        )

    @property
    def seen(self) -> Bool[np.ndarray, "prompt choice"]:
        """Whether the right option stands before the line."""
        own = np.take_along_axis(self.place, self.gold[:, None], axis=1)
        return self.place > own

    def features(self, part: Part) -> Features:
        """Of queries, one row a prompt; of keys and values one a line."""
        sizes = dict(places=self.place.shape[1], letters=self.letters)
        if part is Part.QUERY:
            own = (np.arange(len(self.gold)), self.gold)
            return Features(place=self.place[own], letter=self.letter[own], **sizes)
        return Features(
            place=self.place.ravel(), letter=self.letter.ravel(),
            seen=self.seen.ravel(), **sizes,
        )  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Fits:
    """What was seen in the fitting questions; what stands in for it in others."""

    # Of queries `[prompt, head, head_width]`, of keys and values with keys behind the
    # prompt; what the answers read of values, `[prompt, choice, head, head_width]`.
    seen: dict[Part, np.ndarray]
    reads: Float[np.ndarray, "prompt choice head head_width"]
    fitted: Lines
    others: Lines
    seed: int
    # What was worked out already.
    _made: dict[Any, Any] = dataclasses.field(default_factory=dict, repr=False)

    @functools.cached_property
    def described(self) -> Described:
        both = [self._features(part) for part in (Part.QUERY, Part.KEYS)]

        def count(missing: Callable[..., np.ndarray]) -> dict[str, int]:
            return {
                name: sum(int(missing(*pair, terms).sum()) for pair in both)
                for name, terms in TERMS.items()
            }

        unlike = count(lambda *given: alike(*given, seed=0) < 0)
        fitted, _ = both[1]
        return describe_terms(fitted, count(unknown_rows), unlike)

    def dimensions(self, terms: tuple[str, ...]) -> int:
        """How many a part has, the most where parts differ."""
        return max(
            min(self.fitted.features(part).dimensions(terms), self.width)
            for part in (Part.QUERY, Part.KEYS)
        )

    @property
    def width(self) -> int:
        return self.seen[Part.QUERY].shape[-1]

    @property
    def heads(self) -> int:
        return self.seen[Part.QUERY].shape[-2]

    def stand_ins(
        self, rungs: tuple[Rung, ...], of: Int[np.ndarray, " row"], rung: np.ndarray
    ) -> dict[Part, StandIns]:
        """Returns what stands in, row by row.

        Args:
            of: the prompt of each row, among the others.
            rung: and its rung.
        """
        # A power of two, so that sets of prompts share programs.
        most = 1 << (max([one.rank for one in rungs] + [8]) - 1).bit_length()
        found = {}
        for part in Part:
            rows = [
                self._stand_in(part, rungs[r], p) for p, r in zip(of, rung, strict=True)
            ]
            vectors = np.zeros((len(rows), self.heads, most, self.width), np.float32)
            for row, (_, own, _, _) in enumerate(rows):
                vectors[row, :, : own.shape[1]] = own
            found[part] = StandIns(
                center=np.stack([row[0] for row in rows]).astype(np.float32),
                vectors=vectors,
                keeps=np.array([row[2] for row in rows]),
                is_edited=np.stack([row[3] for row in rows]),
            )
        return found

    def _stand_in(self, part: Part, rung: Rung, prompt: int):
        """Center, vectors, whether these are kept, and which heads are edited."""
        none = np.zeros((self.heads, 0, self.width))
        is_edited = np.full(self.heads, part in PARTS.get(rung.parts, ()))
        if rung.kind == INTACT or not is_edited.any():
            return self._center(part, ())[prompt], none, True, is_edited & False
        if rung.kind == ALONE:
            is_edited = np.arange(self.heads) == rung.head
        if rung.kind == ALIKE:
            return self._alike(part, rung.terms)[prompt], none, True, is_edited
        center = self._center(part, rung.terms)[prompt]
        if rung.kind == DIRECTION and part is Part.QUERY:
            return center, none, True, is_edited & (rung.name != BUT_SEEN)
        if rung.kind == DIRECTION:
            own = self._direction(part, rung.terms, rung.name, rung.draw)
            return center, own, rung.name != BUT_SEEN, is_edited
        if rung.rank:
            own = self.basis(part, rung.kind, rung.rank, rung.draw)
            return center, own, True, is_edited
        return center, none, True, is_edited

    def _features(self, part: Part) -> tuple[Features, Features]:
        return self.fitted.features(part), self.others.features(part)

    def _flat(self, part: Part) -> Float[np.ndarray, "row head head_width"]:
        return self.seen[part].reshape(-1, self.heads, self.width)

    def _by_prompt(self, part: Part, rows: np.ndarray) -> np.ndarray:
        keys = () if part is Part.QUERY else (self.others.place.shape[1],)
        return rows.reshape(-1, *keys, self.heads, self.width)

    @_made_once
    def _center(self, part: Part, terms: tuple[str, ...]) -> np.ndarray:
        fitted, others = self._features(part)
        effects = fitted_means(self._flat(part), fitted, terms)
        return self._by_prompt(part, np.tensordot(others.design(terms), effects, 1))

    @_made_once
    def _alike(self, part: Part, terms: tuple[str, ...]) -> np.ndarray:
        seed = self.seed + list(Part).index(part)
        drawn = alike(*self._features(part), terms, seed=seed)
        return self._by_prompt(part, self._flat(part)[drawn])

    @_made_once
    def _direction(self, part: Part, terms, name: str, draw: int) -> np.ndarray:
        """One direction per head, `[head, 1, head_width]`."""
        if name in (WITH_SEEN, BUT_SEEN):
            fitted, _ = self._features(part)
            found = fitted_means(self._flat(part), fitted, (*terms, SEEN))[-1]
            sizes = np.linalg.norm(found, axis=-1, keepdims=True)
            return (found / np.maximum(sizes, np.finfo(float).tiny))[:, None]
        if name == WITH_LARGEST:
            return self._largest(part, terms)
        return self._random(1, 1000 + draw)

    def _largest(self, part: Part, terms: tuple[str, ...]) -> np.ndarray:
        """Of most variance in what the means, and seen, leave over."""
        fitted, _ = self._features(part)
        terms = (*terms, SEEN)
        x = self._flat(part)
        left = x - np.tensordot(fitted.design(terms), fitted_means(x, fitted, terms), 1)
        return np.stack([
            np.linalg.svd(left[:, head], full_matrices=False)[2][:1]
            for head in range(self.heads)
        ])  # fmt: skip

    def _random(self, rank: int, draw: int) -> np.ndarray:
        """The same for queries and keys of a head, as score-optimal ones are."""
        return np.stack([
            metrics.random_directions(
                rank, self.width, seed=(self.seed * 1009 + draw) * 1009 + head
            )
            for head in range(self.heads)
        ])  # fmt: skip

    @_made_once
    def basis(
        self, part: Part, kind: str, rank: int, draw: int = 0
    ) -> Float[np.ndarray, "head vector head_width"]:
        """Returns a subspace of every head, by the fitting questions."""
        if kind not in (OPTIMAL, VARIANCE):
            return self._random(rank, draw)
        found = np.zeros((self.heads, rank, self.width))
        for head in range(self.heads):
            if kind == VARIANCE:
                own = metrics.singular_vectors(
                    self._flat(part)[:, head], name="most variance"
                ).vectors[:rank]
            else:
                own = metrics.score_optimal(
                    *self.pair(part, head), rank, name="score-optimal"
                )[0].vectors
            found[head, : len(own)] = own
        return found

    def pair(self, part: Part, head: int) -> tuple[np.ndarray, np.ndarray]:
        """What is multiplied with each other: queries and keys; values and answers."""
        if part is Part.VALUES:
            reads = self.reads - self.reads.mean(axis=1, keepdims=True)
            reads = reads[:, :, head].reshape(-1, self.width)
            return self._flat(part)[:, head], reads
        return self.seen[Part.QUERY][:, head], self._flat(Part.KEYS)[:, head]
