"""Means by what a line is: what a few features explain of queries, keys or values.

A line has a place and a letter, and the right option may have been seen before it; a
query asks for the right option's place and letter. Sums of effects of some of these
(*terms*) are nested: each says more than those before. They are fitted on some rows and
worked out for others, which have to be sums of what was fitted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Num

# Terms of a sum of effects; the cell is a place with its letter.
PLACE, LETTER, SEEN, CELL = "place", "letter", "seen", "cell"

# How far from the fitted rows' span a row may be and still count as a sum of them.
_NOTHING = 1e-6
# Singular values of a design below this share of the largest are dependent columns:
# far above rounding (many rows have 1e-14, above `pinv`'s own 1e-15), far below those
# that rows of 0 and 1 have.
_DEPENDENT = 1e-9


@dataclass(frozen=True, kw_only=True)
class Features:
    """What rows of queries, keys or values are about."""

    place: Int[np.ndarray, " row"]
    letter: Int[np.ndarray, " row"]
    # Whether the right option stands before; None of queries, which stand nowhere.
    seen: Bool[np.ndarray, " row"] | None = None
    # How many places and letters there are.
    places: int
    letters: int

    def design(self, terms: Sequence[str]) -> Float[np.ndarray, "row column"]:
        """Returns a column for the mean, and one for each value of each term.

        Terms that these rows do not have (queries have not seen anything) add nothing.
        """
        columns = [np.ones((len(self.place), 1))]
        for term in terms:
            if term == PLACE:
                columns.append(np.eye(self.places)[self.place])
            elif term == LETTER:
                columns.append(np.eye(self.letters)[self.letter])
            elif term == CELL:
                cell = self.place * self.letters + self.letter
                columns.append(np.eye(self.places * self.letters)[cell])
            elif term != SEEN:
                raise ValueError(
                    f"{term!r} is no term; there are {PLACE}, {LETTER}, {SEEN}, {CELL}."
                )
            elif self.seen is not None:
                columns.append(self.seen[:, None].astype(float))
        return np.concatenate(columns, axis=1)

    def dimensions(self, terms: Sequence[str]) -> int:
        """Returns how many independent dimensions the terms have beside the mean."""
        return int(np.linalg.matrix_rank(self.design(terms), rtol=_DEPENDENT)) - 1


def adds_nothing(features: Features, terms: Sequence[str], others: Sequence[str]):
    """Whether terms say no more of these rows than others do, such as place and letter
    of labels in their natural order."""
    return features.dimensions([*terms, *others]) == features.dimensions(others)


def fitted_means(
    x: Num[np.ndarray, "row *shape"],
    features: Features,
    terms: Sequence[str],
) -> Float[np.ndarray, "column *shape"]:
    """Returns the effects by least squares; `features.design(terms) @ …` is their sum.

    Among dependent columns the shortest effects: sums do not depend on the choice.
    """
    design = features.design(terms)
    flat = np.asarray(x, np.float64).reshape(len(x), -1)
    return (_inverse(design) @ flat).reshape(-1, *np.shape(x)[1:])


def _inverse(design: Float[np.ndarray, "row column"]) -> np.ndarray:
    return np.linalg.pinv(design, rcond=_DEPENDENT)


def unknown_rows(
    fitted: Features, others: Features, terms: Sequence[str]
) -> Bool[np.ndarray, " row"]:
    """Returns which other rows are no sums of what the fitted ones had.

    Such as a letter on a place where no fitted row had it.
    """
    design, wanted = fitted.design(terms), others.design(terms)
    left = wanted - wanted @ _inverse(design) @ design
    return np.abs(left).max(axis=1) > _NOTHING


def alike(
    fitted: Features, others: Features, terms: Sequence[str], *, seed: int
) -> Int[np.ndarray, " row"]:
    """Returns for every other row a fitted one with the same terms, drawn.

    What stands in for it says no more than the terms do, and is a real one (causal
    scrubbing). -1 where there is none.
    """
    generator = np.random.default_rng(seed)
    designs = np.concatenate([fitted.design(terms), others.design(terms)])
    _, kind = np.unique(designs, axis=0, return_inverse=True)
    kind = kind.reshape(-1)
    own, wanted = kind[: len(fitted.place)], kind[len(fitted.place) :]
    drawn = np.full(len(wanted), -1)
    for one in np.unique(wanted):
        pool, rows = np.flatnonzero(own == one), np.flatnonzero(wanted == one)
        if len(pool):
            drawn[rows] = generator.choice(pool, len(rows))
    return drawn
