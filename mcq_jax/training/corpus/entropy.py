"""The exact entropy of a corpus: the loss of whoever knows its recipe and its facts.

Every draw can be read off the text, once each, so a row's entropy is the sum of those
of its draws: where several draws make the same text (letters drawn at random may stand
in alphabetical order), that of the text. Nats throughout.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from mcq_jax.training.corpus import recipe as recipes
from mcq_jax.training.corpus.recipe import (
    ASKED_LETTERS,
    DOCUMENTS,
    OPTIONS,
    Arm,
    CorpusRecipe,
    ListLabels,
    Row,
)
from mcq_jax.training.corpus.vocabulary import FILLERS, LETTERS, NAME, NUMBERS, THINGS
from mcq_jax.training.corpus.world import (
    RELATIONS,
    VALUE_COUNTS,
    VALUE_TOKENS,
    make_world,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Floor:
    """What no model can go below, for a corpus as a whole."""

    # Entropy of a row, and its scored tokens, both on average.
    nats_per_row: float
    tokens_per_row: float
    # Entropy of a question's answer, given its prompt.
    answer_nats: float
    # The share of the answers that the best guess, the right option, gets.
    answer_accuracy: float
    # The best net logit: of the right label over the others' mean, at equal logits.
    best_margin: float
    # Tokens of questions among all scored ones.
    question_share: float

    @property
    def loss(self) -> float:
        """Nats per scored token, what training's loss is to be compared with."""
        return self.nats_per_row / self.tokens_per_row


def floor_of(recipe: CorpusRecipe) -> Floor:
    """Returns the floor of a recipe, by formula."""
    rows = {row: _row(row, recipe) for row in Row}
    shares = dict(zip(Row, recipe.shares, strict=True))
    nats = _entropy(recipe.shares) + sum(shares[r] * rows[r][0] for r in Row)
    tokens = sum(shares[r] * rows[r][1] for r in Row)
    asked = shares[Row.QUESTION] * rows[Row.QUESTION][1]
    answers = [_answer(recipe.noise, n) for n in OPTIONS]
    return Floor(
        nats_per_row=nats,
        tokens_per_row=tokens,
        answer_nats=_mean(recipe.options, [_entropy(answer) for answer in answers]),
        answer_accuracy=_mean(recipe.options, [answer[0] for answer in answers]),
        best_margin=_mean(
            recipe.options, [_log_ratio(answer[0], answer[1]) for answer in answers]
        ),
        question_share=asked / tokens,
    )


def _row(row: Row, recipe: CorpusRecipe) -> tuple[float, float]:
    """Entropy and scored tokens of a row of a kind; the first token is not scored."""
    documents = {
        Row.QUESTION: _question,
        Row.FACTS: _fact,
        Row.LIST: _list,
        Row.COPIES: lambda recipe: _copy(),
        Row.COUNTS: lambda recipe: _count(),
    }
    nats, tokens = documents[row](recipe)
    return DOCUMENTS[row] * nats, DOCUMENTS[row] * tokens - 1


def _question(recipe: CorpusRecipe) -> tuple[float, float]:
    fillers = _fillers()
    things = make_world(recipe.seed, recipe.held_out).asked.sum(axis=1)
    about = _entropy(recipe.asked) + _mean(recipe.asked, np.log(things))
    # Words of a value depend on which one it is: on average over those asked and shown.
    nats = fillers[0] + about + _entropy(recipe.options)
    tokens = fillers[1] + 12 + _mean(recipe.options, OPTIONS) * 2
    for share, n in zip(recipe.options, OPTIONS, strict=True):
        nats += share * (_labels(recipe.arm, n) + _entropy(_answer(recipe.noise, n)))
        nats += share * _mean(recipe.asked, [_shown(n, v // 2) for v in VALUE_COUNTS])
    words = [_words_shown(recipe, index) for index in range(len(RELATIONS))]
    return nats, tokens + _mean(recipe.asked, words)


def _shown(options: int, pairs: int) -> float:
    """Which wrong values, in which order, and on which line the right one."""
    ordered = math.lgamma(pairs) - math.lgamma(pairs - options + 1)
    return ordered + (options - 1) * math.log(2) + math.log(options)


def _words_shown(recipe: CorpusRecipe, relation: int) -> float:
    """The words of all options of a question: right ones and wrong ones."""
    world = make_world(recipe.seed, recipe.held_out)
    words = words_of_values(relation)
    right = world.value[relation, world.asked[relation]]
    # Any value but the right one and its sibling is as likely to be a wrong option.
    others = [(words.sum() - words[v] - words[v ^ 1]) / (len(words) - 2) for v in right]
    wrong = _mean(recipe.options, OPTIONS) - 1
    return float(words[right].mean() + wrong * np.mean(others))


def _fact(recipe: CorpusRecipe) -> tuple[float, float]:
    world, fillers = make_world(recipe.seed, recipe.held_out), _fillers()
    relations = [index for index, name in enumerate(RELATIONS) if name != NAME]
    words = np.mean([words_of_values(r)[world.value[r]].mean() for r in relations])
    nats = fillers[0] + math.log(len(relations)) + math.log(len(THINGS))
    return nats, 8 + fillers[1] + float(words)


def _list(recipe: CorpusRecipe) -> tuple[float, float]:
    nats, lines = math.log(len(recipe.list_lines)), recipe.list_lines
    for n in lines:
        one = _log_orders(recipe.listed, n) + recipes.LOOK_UPS * math.log(n)
        nats += (one + _list_labels(recipe.lists, n)) / len(lines)
    return nats, 4 + 3 * float(np.mean(lines)) + 3 * recipes.LOOK_UPS


def _list_labels(shares: Sequence[float], lines: int) -> float:
    """Which labels: those drawn are known as such by what is looked up."""
    drawn = dict(zip(ListLabels, shares, strict=True))[ListLabels.RANDOM_LETTERS]
    return _entropy(shares) + drawn * _log_orders(len(LETTERS), lines)


def _copy() -> tuple[float, float]:
    lengths = recipes.COPIED_WORDS
    orders = np.mean([_log_orders(len(THINGS), length) for length in lengths])
    nats = math.log(len(lengths)) + math.log(2) + orders
    return float(nats), 4 + 2 * float(np.mean(lengths))


def _count() -> tuple[float, float]:
    lengths = recipes.COUNTED_NUMBERS
    starts = [math.log(len(NUMBERS) - length + 1) for length in lengths]
    nats = math.log(len(lengths)) + float(np.mean(starts)) + math.log(2)
    return nats, 3 + float(np.mean(lengths))


def _fillers() -> tuple[float, float]:
    before = recipes.FILLERS_BEFORE
    mean = float(np.mean(before))
    return math.log(len(before)) + mean * math.log(len(FILLERS)), mean


def _labels(arm: Arm, options: int) -> float:
    """Entropy of a question's labels, given how many there are."""
    if arm is Arm.FIXED:
        return 0.0
    if arm is Arm.RANDOM:
        return _log_orders(len(ASKED_LETTERS), options)
    return _one_or_any(0.5, 0.5, _log_orders(options, options))


def _one_or_any(one: float, any_: float, log_orders: float) -> float:
    """Entropy of a certain order, or else any of so many, that one among them.

    The shares may sum to less than 1; what is left is not counted.
    """
    each = any_ * math.exp(-log_orders)
    others = any_ - each
    return -(one + each) * _log(one + each) - others * (_log(any_) - log_orders)


def _answer(noise: float, options: int) -> tuple[float, ...]:
    """Probability of every label, the right one first."""
    return (1 - noise + noise / options, *(noise / options,) * (options - 1))


def words_of_values(relation: int) -> np.ndarray:
    """Returns how many words each value of a relation has."""
    words = (VALUE_TOKENS[relation] >= 0).sum(axis=-1)
    return words[words > 0]


def _log_orders(out_of: int, drawn: int) -> float:
    return math.lgamma(out_of + 1) - math.lgamma(out_of - drawn + 1)


def _entropy(shares: Sequence[float]) -> float:
    return -sum(share * _log(share) for share in shares)


def _log(share: float) -> float:
    """So that 0 log 0 is 0."""
    return math.log(share) if share > 0 else 0.0


def _log_ratio(one: float, other: float) -> float:
    return math.log(one / other) if other > 0 else math.inf


def _mean(shares: Sequence[float], values: Sequence[float] | np.ndarray) -> float:
    return float(np.dot(np.asarray(shares), np.asarray(values)))
