"""What a head's preference for the right label is made of: place, letter, both, seen.

Queries at the answer position and label keys, in the query's frame, as sums of effects:

    query = mean + a[gold place] + b[gold letter] + rest
    key   = mean + alpha[place] + beta[letter] + gamma * seen + rest

where seen says that the right option stands before the label. The score contrast (the
right label's score less the mean of the others') then falls apart exactly.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Num, Shaped

from mcq_jax.metrics import statistics
from mcq_jax.metrics.statistics import Interval

PARTS = ("place", "letter", "cross", "seen", "mean", "rest")


@dataclass(frozen=True, kw_only=True)
class ScoreParts:
    """The parts of the score contrast, which add up to it prompt by prompt.

    place: a . alpha, letter: b . beta, cross: a . beta + b . alpha, seen: the whole
    query . gamma, mean: mean query . (alpha + beta); rest: what the sums leave over.
    """

    parts: dict[str, Float[np.ndarray, " prompt"]]
    # Means over prompts; the fit is drawn anew with the questions.
    means: dict[str, Interval]
    total: Interval
    # Share of the variance that the sums explain in questions they were not fitted on.
    explained_of_queries: float
    explained_of_keys: float


def score_parts(
    queries: Num[np.ndarray, "prompt width"],
    keys: Num[np.ndarray, "prompt choice width"],
    place: Int[np.ndarray, "prompt choice"],
    letter: Int[np.ndarray, "prompt choice"],
    gold: Int[np.ndarray, " prompt"],
    question: Shaped[np.ndarray, " prompt"],
    *,
    scale: float,
    folds: int = 2,
    resamples: int = 200,
    seed: int = 0,
) -> ScoreParts:
    """Returns the parts; every question's by effects that others were fitted on.

    Use all permutations of the labels, or Latin squares: among derangements place and
    letter are correlated, and in natural order they are one, which is refused.

    Args:
        place, letter: the line on which each choice stands, and its letter.
        scale: what products of queries and keys are multiplied by.
    """
    data = _data(queries, keys, place, letter, gold)
    names, index = np.unique(question, return_inverse=True)
    if len(names) < max(2, folds):
        raise ValueError(
            f"{len(names)} questions for {folds} folds; give more questions, or ask "
            "for fewer folds."
        )
    order = np.random.default_rng(seed).permutation(len(names))
    fold = np.empty(len(names), int)
    fold[order] = np.arange(len(names)) % folds
    sums = _Sums(data, index, len(names))

    def measured(weights: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
        parts = {name: np.zeros(len(index)) for name in PARTS}
        lost = np.zeros((2, 2))  # [query or key, left over or there]
        for one in range(folds):
            mine = np.flatnonzero(fold[index] == one)
            fits = sums.fit(weights * (fold != one))
            found = _contrast(data, fits, mine, scale)
            for name in PARTS:
                parts[name][mine] = found[name]
            lost += _lost(data, fits, mine, weights[index[mine]])
        return parts, lost

    parts, lost = measured(np.ones(len(names)))
    drawn: dict[str, list[float]] = {name: [] for name in (*PARTS, "total")}
    weights = statistics.resample_weights(len(names), resamples=resamples, seed=seed)
    for row in weights:
        if not all((row * (fold != one)).any() for one in range(folds)):
            continue  # a fold with nothing to fit on
        again, _ = measured(row)
        per_prompt = row[index]
        values = {name: again[name] @ per_prompt / per_prompt.sum() for name in PARTS}
        for name, value in (values | {"total": sum(values.values())}).items():
            drawn[name].append(float(value))

    def interval(name: str, values: np.ndarray) -> Interval:
        return statistics.percentile_interval(
            float(values.mean()), np.array(drawn[name]), questions=len(names)
        )

    explained = 1 - lost[:, 0] / np.maximum(lost[:, 1], np.finfo(float).tiny)
    return ScoreParts(
        parts=parts,
        means={name: interval(name, values) for name, values in parts.items()},
        total=interval("total", np.sum(list(parts.values()), axis=0)),
        explained_of_queries=float(explained[0]),
        explained_of_keys=float(explained[1]),
    )


@dataclass(frozen=True, kw_only=True)
class _Data:
    """Outcomes and designs: columns are the mean, places, letters and seen."""

    queries: np.ndarray  # [prompt, width]
    keys: np.ndarray  # [prompt, choice, width]
    of_queries: np.ndarray  # [prompt, column]
    of_keys: np.ndarray  # [prompt, choice, column]
    contrast: np.ndarray  # [prompt, choice]: 1 for gold, -1 / (n - 1) for others
    places: slice
    letters: slice


def _data(queries, keys, place, letter, gold) -> _Data:
    queries, keys = np.asarray(queries, np.float64), np.asarray(keys, np.float64)
    rows, choices = np.arange(len(gold)), place.shape[1]
    places, letters = _effects(place), _effects(letter)
    seen = (place > place[rows, gold][:, None])[..., None].astype(float)
    ones = np.ones((*place.shape, 1))
    of_keys = np.concatenate([ones, places, letters, seen], axis=-1)
    own = places[rows, gold], letters[rows, gold]
    of_queries = np.concatenate([ones[:, 0], *own], axis=-1)
    flat = of_keys.reshape(-1, of_keys.shape[-1])
    for design, what in ((of_queries, "queries"), (flat, "keys")):
        if np.linalg.matrix_rank(design) < design.shape[1]:
            raise ValueError(
                f"Places, letters and seen options of these prompts' {what} are not "
                f"{design.shape[1]} different things (their labels stand in one order?)"
                "; use all permutations of the labels, or Latin squares, and every "
                "gold place."
            )
    contrast = np.full(place.shape, -1 / (choices - 1))
    contrast[rows, gold] = 1
    middle = 1 + places.shape[-1]
    return _Data(
        queries=queries,
        keys=keys,
        of_queries=of_queries,
        of_keys=of_keys,
        contrast=contrast,
        places=slice(1, middle),
        letters=slice(middle, middle + letters.shape[-1]),
    )


def _effects(levels: np.ndarray) -> np.ndarray:
    """One column per level but the last, which is minus the sum of the others."""
    names = np.unique(levels)
    coded = np.concatenate([np.eye(len(names) - 1), -np.ones((1, len(names) - 1))])
    return coded[np.searchsorted(names, levels)]


class _Sums:
    """Each question's products, from which any weighted fit follows at once."""

    def __init__(self, data: _Data, index: np.ndarray, questions: int):
        def by_question(values: np.ndarray) -> np.ndarray:
            total = np.zeros((questions, *values.shape[1:]))
            np.add.at(total, index, values)
            return total

        x, d = data.of_queries, data.of_keys
        self._queries = (
            by_question(np.einsum("pc,pd->pcd", x, x)),
            by_question(np.einsum("pc,pw->pcw", x, data.queries)),
        )
        self._keys = (
            by_question(np.einsum("pkc,pkd->pcd", d, d)),
            by_question(np.einsum("pkc,pkw->pcw", d, data.keys)),
        )

    def fit(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients [column, width] of queries and of keys, by least squares.

        Resampled questions may leave columns dependent: rounding is no direction.
        """
        query, key = (
            np.linalg.pinv(np.tensordot(weights, squares, 1), rcond=1e-9)
            @ np.tensordot(weights, products, 1)
            for squares, products in (self._queries, self._keys)
        )
        return query, key


def _contrast(
    data: _Data, fits: tuple[np.ndarray, np.ndarray], rows: np.ndarray, scale: float
) -> dict[str, np.ndarray]:
    """The parts of the score contrast of some prompts."""
    of_query, of_key = fits
    query, design = data.queries[rows], data.of_queries[rows]
    difference = np.einsum("pk,pkc->pc", data.contrast[rows], data.of_keys[rows])
    whole = np.einsum("pk,pkw->pw", data.contrast[rows], data.keys[rows])
    a, b = (design[:, c] @ of_query[c] for c in (data.places, data.letters))
    alpha, beta = (difference[:, c] @ of_key[c] for c in (data.places, data.letters))
    gamma = difference[:, -1:] @ of_key[-1:]

    def product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return scale * (left * right).sum(axis=-1)

    found = {
        "place": product(a, alpha),
        "letter": product(b, beta),
        "cross": product(a, beta) + product(b, alpha),
        "seen": product(query, gamma),
        "mean": product(of_query[:1], alpha + beta),
    }
    return found | {"rest": product(query, whole) - sum(found.values())}


def _lost(
    data: _Data, fits: tuple[np.ndarray, np.ndarray], rows: np.ndarray, weights
) -> np.ndarray:
    """Squares left over and there, around the fitted mean, of queries and keys."""
    of_query, of_key = fits
    outcomes = (
        (data.queries[rows], data.of_queries[rows] @ of_query, of_query[0]),
        (data.keys[rows], data.of_keys[rows] @ of_key, of_key[0]),
    )
    return np.array(
        [
            [
                (weights * ((y - other) ** 2).reshape(len(rows), -1).sum(axis=1)).sum()
                for other in (fitted, mean)
            ]
            for y, fitted, mean in outcomes
        ]
    )
