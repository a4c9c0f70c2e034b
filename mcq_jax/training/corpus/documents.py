"""The documents of a corpus, many at once: one function per kind.

Each returns tokens with holes (-1), which `pack` closes. A document tells its own end,
and every draw can be read off its tokens: so its entropy is that of the draws
(`entropy`). Draws of different documents are independent.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int

from mcq_jax.training.corpus import recipe as recipes
from mcq_jax.training.corpus.recipe import (
    ASKED_LETTERS,
    OPTIONS,
    Arm,
    CorpusRecipe,
    ListLabels,
)
from mcq_jax.training.corpus.vocabulary import (
    BOS,
    END,
    FILLERS,
    IDS,
    LETTERS,
    NAME,
    NUMBERS,
    THINGS,
)
from mcq_jax.training.corpus.world import (
    RELATIONS,
    VALUE_COUNTS,
    VALUE_TOKENS,
    World,
)

# Tokens with holes.
Holed = Int[np.ndarray, "document piece"]


def _ids(words: Sequence[str]) -> Int[np.ndarray, " word"]:
    return np.array([IDS[word] for word in words])


_LETTERS, _NUMBERS, _THINGS = _ids(LETTERS), _ids(NUMBERS), _ids(THINGS)
_FILLERS, _RELATIONS = _ids(FILLERS), _ids(RELATIONS)
_MOST = OPTIONS[-1]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Questions:
    """Multiple-choice questions as they were drawn, and their tokens."""

    tokens: Holed
    relation: Int[np.ndarray, " document"]
    thing: Int[np.ndarray, " document"]
    # Values on each line, -1 behind the last.
    options: Int[np.ndarray, "document choice"]
    # Label tokens of each line, -1 behind the last.
    labels: Int[np.ndarray, "document choice"]
    # The line of the right option, and the one that the text says is right.
    gold: Int[np.ndarray, " document"]
    said: Int[np.ndarray, " document"]


def questions(
    recipe: CorpusRecipe,
    world: World,
    count: int,
    random: np.random.Generator,
    of_labels: np.random.Generator,
    *,
    asked: Bool[np.ndarray, "relation thing"] | None = None,
    siblings: bool = False,
) -> Questions:
    """Returns questions; labels have a generator of their own, so that arms can differ.

    Args:
        asked: which facts; those of training where left out.
        siblings: whether a wrong option is the right one's sibling, which is held out.
    """
    asked = world.asked if asked is None else asked
    relation = _kinds(recipe.asked, count, random)
    thing = np.where(asked[relation], random.random((count, len(THINGS))), -1.0)
    thing = thing.argmax(axis=1)
    lines = np.array(OPTIONS)[_kinds(recipe.options, count, random)]
    gold = (random.random(count) * lines).astype(int)
    right = world.value[relation, thing]
    options = _options(relation, right, lines, gold, random, siblings)
    is_drawn = random.random(count) < recipe.noise
    said = np.where(is_drawn, (random.random(count) * lines).astype(int), gold)
    sentence = [_fillers(count, random), _about(relation, thing)]
    labels = _labels(recipe.arm, lines, of_labels)
    is_line = np.arange(_MOST) < lines[:, None]
    shown = np.where(is_line[..., None], VALUE_TOKENS[relation[:, None], options], -1)
    table = np.concatenate([labels[..., None], shown, _fixed("\n", is_line)], axis=2)
    tokens = np.concatenate(
        [
            _words(BOS, count), *sentence, _words("?", count), _words("\n", count),
            table.reshape(count, -1), _words("answer", count),
            np.take_along_axis(labels, said[:, None], 1), _words(END, count),
        ],
        axis=1,
    )  # fmt: skip
    return Questions(
        tokens=tokens, relation=relation, thing=thing,
        options=np.where(is_line, options, -1), labels=labels, gold=gold, said=said,
    )  # fmt: skip


def facts(world: World, count: int, random: np.random.Generator) -> Holed:
    """Returns statements, any fact but names alike."""
    relation = random.integers(RELATIONS.index(NAME), size=count)
    thing = random.integers(len(THINGS), size=count)
    value = VALUE_TOKENS[relation, world.value[relation, thing]]
    return np.concatenate(
        [
            _words(BOS, count), _fillers(count, random), _about(relation, thing),
            value, _words(END, count),
        ],
        axis=1,
    )  # fmt: skip


def lists(recipe: CorpusRecipe, count: int, random: np.random.Generator) -> Holed:
    """Returns lists of things, with look-ups behind them.

    What stands on the line of a label, if labels were drawn; which label the line of a
    thing has, if they are in order: no arm but its own teaches to copy a label that its
    place does not tell.
    """
    kind = _kinds(recipe.lists, count, random)
    most = recipes.MOST_LINES
    lines = random.choice(recipe.list_lines, size=count)
    is_line = np.arange(most) < lines[:, None]
    things = _THINGS[_draw(count, recipe.listed, most, random)]
    letters = _LETTERS[_draw(count, len(LETTERS), most, random)]
    by_kind = np.stack(
        np.broadcast_arrays(_LETTERS[:most], letters, _NUMBERS[:most])
    )  # in the order of `ListLabels`
    labels = by_kind[kind, np.arange(count)]
    table = np.stack([labels, things, _full("\n", things)], axis=2)
    table = np.where(is_line[..., None], table, -1)
    place = (random.random((count, recipes.LOOK_UPS)) * lines[:, None]).astype(int)
    label, thing = (np.take_along_axis(x, place, 1) for x in (labels, things))
    by_label = (kind == list(ListLabels).index(ListLabels.RANDOM_LETTERS))[:, None]
    given, found = np.where(by_label, (label, thing), (thing, label))
    asks = np.where(by_label, IDS["what"], IDS["where"]) + np.zeros_like(place)
    looked = np.stack([asks, given, found], axis=2)
    return np.concatenate(
        [
            _words(BOS, count), _words("list", count), _words("\n", count),
            table.reshape(count, -1), looked.reshape(count, -1), _words(END, count),
        ],
        axis=1,
    )  # fmt: skip


def copies(count: int, random: np.random.Generator) -> Holed:
    """Returns different words, and the same once more, forwards or backwards."""
    most = recipes.COPIED_WORDS[-1]
    words = _THINGS[_draw(count, len(THINGS), most, random)]
    length = random.choice(recipes.COPIED_WORDS, size=count)
    words = np.where(np.arange(most) < length[:, None], words, -1)
    is_back = (random.random(count) < 0.5)[:, None]
    again = np.where(is_back, words[:, ::-1], words)
    said = np.where(is_back, IDS["back"], IDS["copy"])
    return np.concatenate(
        [_words(BOS, count), said, words, _words(":", count), again,
         _words(END, count)], axis=1,
    )  # fmt: skip


def counts(count: int, random: np.random.Generator) -> Holed:
    """Returns numbers that go up or down by one, wherever they stay in range."""
    most = recipes.COUNTED_NUMBERS[-1]
    length = random.choice(recipes.COUNTED_NUMBERS, size=count)
    low = (random.random(count) * (len(NUMBERS) - length + 1)).astype(int)
    is_up = random.random(count) < 0.5
    place = np.arange(most)
    number = np.where(
        is_up[:, None], low[:, None] + place, (low + length - 1)[:, None] - place
    )
    number = np.where(place < length[:, None], _NUMBERS[number % len(NUMBERS)], -1)
    return np.concatenate(
        [_words(BOS, count), _words("count", count), number, _words(END, count)], axis=1
    )


def pack(holed: Holed, time: int, pad: int) -> Int[np.ndarray, "document time"]:
    """Returns the tokens without holes, padded on the right."""
    order = np.argsort(holed < 0, axis=1, kind="stable")
    tokens = np.take_along_axis(holed, order, 1)
    tokens = np.pad(tokens, ((0, 0), (0, max(0, time - tokens.shape[1]))),
                    constant_values=-1)  # fmt: skip
    assert (tokens[:, time:] < 0).all(), "documents always fit"
    return np.where(tokens < 0, pad, tokens)[:, :time].astype(np.int32)


def _options(
    relation: np.ndarray,
    right: np.ndarray,
    lines: np.ndarray,
    gold: np.ndarray,
    random: np.random.Generator,
    siblings: bool,
) -> Int[np.ndarray, "document choice"]:
    """The right value on its line, values of other pairs of siblings on the others."""
    count, pairs = len(right), np.array(VALUE_COUNTS) // 2
    order = random.random((count, pairs.max()))
    place = np.arange(pairs.max())
    order[(place == right[:, None] // 2) | (place >= pairs[relation][:, None])] = 2.0
    wrong = 2 * order.argsort(axis=1)[:, : _MOST - 1]
    wrong += random.integers(2, size=wrong.shape)
    if siblings:
        wrong[:, 0] = right ^ 1
    # Behind the gold line the wrong ones are one line further down.
    line = np.arange(_MOST)
    index = np.clip(line - (line > gold[:, None]), 0, _MOST - 2)
    shown = np.take_along_axis(wrong, index, 1)
    return np.where(line == gold[:, None], right[:, None], shown)


def _labels(
    arm: Arm, lines: np.ndarray, random: np.random.Generator
) -> Int[np.ndarray, "document choice"]:
    """Label tokens. Every arm draws as often, so that none is out of step."""
    count, line = len(lines), np.arange(_MOST)
    is_line = line < lines[:, None]
    any_order = np.where(is_line, random.random((count, _MOST)), 2).argsort(axis=1)
    is_shuffled = random.random(count) < 0.5
    drawn = _draw(count, len(ASKED_LETTERS), _MOST, random)
    order = np.broadcast_to(line, drawn.shape)
    if arm is Arm.SHUFFLED:
        order = np.where(is_shuffled[:, None], any_order, order)
    if arm is Arm.RANDOM:
        order = drawn
    return np.where(is_line, _LETTERS[order], -1)


def _fillers(count: int, random: np.random.Generator) -> Holed:
    most = recipes.FILLERS_BEFORE[-1]
    words = _FILLERS[random.integers(len(FILLERS), size=(count, most))]
    length = random.choice(recipes.FILLERS_BEFORE, size=count)
    return np.where(np.arange(most) < length[:, None], words, -1)


def _about(relation: np.ndarray, thing: np.ndarray) -> Holed:
    """The <relation> of the <thing> is."""
    the = np.full(len(thing), IDS["the"])
    words = (the, _RELATIONS[relation], _full("of", thing), the, _THINGS[thing],
             _full("is", thing))  # fmt: skip
    return np.stack(words, axis=1)


def _kinds(
    shares: tuple[float, ...], count: int, random: np.random.Generator
) -> Int[np.ndarray, " document"]:
    return np.searchsorted(
        recipes.cumulative(shares), random.random(count), side="right"
    )


def _draw(
    count: int, out_of: int, size: int, random: np.random.Generator
) -> Int[np.ndarray, "document drawn"]:
    """Different numbers below `out_of`, every order alike."""
    return random.random((count, out_of)).argsort(axis=1)[:, :size]


def _words(word: str, count: int) -> Holed:
    return np.full((count, 1), IDS[word])


def _full(word: str, like: np.ndarray) -> np.ndarray:
    return np.full(like.shape, IDS[word])


def _fixed(word: str, where: np.ndarray) -> np.ndarray:
    return np.where(where, IDS[word], -1)[..., None]
