"""`prefix_tree`: what prompts of a batch have in common, found from their tokens.

    worked examples of a few ──► question of its rotations ──► rest of each prompt

Every level is a batch of rows, and every row continues one of the level before, whose
keys and values it reads. Which beginnings are worth a level of their own is a search
over FLOPs. What they save is exact: a token's keys depend on what is before it alone.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
from jax.core import Tracer
from jaxtyping import Bool, Int

from mcq_jax import sharding
from mcq_jax.axes import AnyArray
from mcq_jax.costs.formulas import layer_flops
from mcq_jax.costs.machine import machine_at_hand
from mcq_jax.model.config import ModelConfig

# Shorter beginnings are left to the prompts; the levels above the prompts' own.
_SHORTEST, _DEEPEST = 16, 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Level:
    """One level of the tree: rows of tokens that follow on a level before."""

    # Right-padded.
    tokens: Int[AnyArray, "row token"]
    lengths: Int[AnyArray, " row"]
    # How many tokens are before each row, those of any shared prefix left out.
    starts: Int[np.ndarray, " row"]
    # The row of the level before that each one continues; 0 in the first level.
    parents: Int[np.ndarray, " row"]

    @classmethod
    def whole(
        cls, tokens: Int[AnyArray, "row token"], lengths: Int[AnyArray, " row"]
    ) -> "Level":
        """Returns prompts that share nothing."""
        none = np.zeros(len(tokens), np.int32)
        return cls(tokens=tokens, lengths=lengths, starts=none, parents=none)


def levels_of(
    tokens: Int[AnyArray, "prompt position"],
    lengths: Int[AnyArray, " prompt"],
    config: ModelConfig,
    *,
    own: int = 1,
    repeats: int = 1,
) -> tuple[Level, ...]:
    """Returns the levels of prompts; a single one where their tokens are not at hand.

    That is so while a program is traced, and where other hosts hold some of them.
    """
    whole = (Level.whole(tokens, lengths),)
    if not (_is_at_hand(tokens) and _is_at_hand(lengths)):
        return whole
    ids, counts = np.asarray(tokens), np.asarray(lengths)
    levels = prefix_tree(ids, counts, config, own=own, repeats=repeats)
    return levels if len(levels) > 1 else whole


def _is_at_hand(array: AnyArray) -> bool:
    is_traced = isinstance(array, Tracer)
    return not is_traced and getattr(array, "is_fully_addressable", True)


def prefix_tree(
    tokens: Int[np.ndarray, "prompt position"],
    lengths: Int[np.ndarray, " prompt"],
    config: ModelConfig,
    *,
    own: int = 1,
    repeats: int = 1,
) -> tuple[Level, ...]:
    """Returns the levels that cost least; a single one where nothing is worth sharing.

    Widths are those of a ladder with two steps per doubling, so that batches share
    programs.

    Args:
        own: how many tokens at the end of each prompt stay in the last level.
        repeats: how often a pass like this will be run: the more, the more a level
            pays for compiling its programs.
    """
    costs = _Costs(config, sharding.data_parts(), repeats)
    whole = (Level.whole(tokens, lengths),)
    if len(tokens) == 1 or costs.of(whole) < costs.program:
        return whole
    return _cheapest(tokens, lengths, own, costs, _DEEPEST)


def flops(levels: tuple[Level, ...], config: ModelConfig) -> float:
    """Returns the FLOPs of running levels, padding included, without embeddings."""
    return _Costs(config, 1, 1).work(levels)


@dataclasses.dataclass(frozen=True)
class _Costs:
    """What levels cost in FLOPs of one part of a mesh, compiling included."""

    config: ModelConfig
    parts: int
    repeats: int

    @property
    def program(self) -> float:
        """A pass's share of a level's programs, if one in four passes compiles them."""
        return machine_at_hand().program * min(1, 4 / self.repeats)

    def of(self, levels: tuple[Level, ...]) -> float:
        reading = machine_at_hand().reading * self._token(keys=1)
        return self.work(levels) + len(levels) * (self.program + reading)

    def work(self, levels: tuple[Level, ...]) -> float:
        total, before = 0.0, 0
        for level in levels:
            total += self.rows(*level.tokens.shape, before=before)
            before += level.tokens.shape[1]
        return total

    def rows(self, rows: int, width: int, *, before: int) -> float:
        """Of one part of the mesh; rows that do not divide are run by every part."""
        rows = rows if rows % self.parts else rows // self.parts
        return rows * width * self._token(keys=before + width // 2)

    def _token(self, *, keys: int) -> float:
        return self.config.layers * layer_flops(self.config, keys=keys)


def _cheapest(tokens, lengths, own: int, costs: _Costs, deepest: int):
    """The levels of some prompts: the best way to group them, and so on upwards.

    The beginnings of a grouping are prompts in turn, with beginnings of their own.
    """
    best = (Level.whole(tokens, lengths),)
    if len(tokens) == 1 or not deepest:
        return best
    room = np.maximum(lengths - own, 0)
    order, shared = _neighbours(tokens, room)
    for group in _groupings(order, shared):
        common = _common(group, order, shared, room)
        width = _width(common[group], lengths, len(common), costs)
        begun = np.minimum(common, width)
        first = np.unique(group, return_index=True)[1]
        beginnings = _cut(tokens[first], begun, 0 * begun, width)
        above = _cheapest(beginnings, begun, 1, costs, deepest - 1)
        rest = lengths - begun[group]
        last = Level(
            tokens=_cut(tokens, lengths, begun[group], _rounded_up(int(rest.max()))),
            lengths=rest,
            starts=begun[group],
            parents=group,
        )
        best = min(best, (*above, last), key=costs.of)
    return best


def _neighbours(
    tokens: Int[np.ndarray, "row token"], room: Int[np.ndarray, " row"]
) -> tuple[Int[np.ndarray, " row"], Int[np.ndarray, " _"]]:
    """Rows sorted by their tokens, and how many each begins with as the one before.

    As in a suffix array, rows that begin alike then lie side by side.
    """
    is_token = np.arange(tokens.shape[1])[None] < room[:, None]
    rows = np.where(is_token, tokens + 1, 0).astype(">i4")  # sorted byte by byte
    order = np.array(sorted(range(len(rows)), key=lambda row: rows[row].tobytes()))
    both = rows[order]
    is_same = (both[1:] == both[:-1]) & (both[1:] > 0)
    return order, is_same.cumprod(axis=1).sum(axis=1)


def _groupings(order, shared) -> Iterator[Int[np.ndarray, " row"]]:
    """Each row's group, for every way to group rows by a number of tokens in common."""
    seen = set()
    for least in np.unique(shared[shared >= _SHORTEST]):
        is_new: Bool[np.ndarray, " row"] = np.concatenate([[False], shared < least])
        group = np.empty(len(order), np.int32)
        group[order] = np.cumsum(is_new)
        if group.tobytes() not in seen:
            seen.add(group.tobytes())
            yield group


def _common(group, order, shared, room) -> Int[np.ndarray, " group"]:
    """How many tokens all rows of each group begin with; a single one with all."""
    in_order = group[order]
    common = np.zeros(in_order[-1] + 1, np.int32)
    common[group] = room
    inside = in_order[1:] == in_order[:-1]
    np.minimum.at(common, in_order[1:][inside], shared[inside].astype(np.int32))
    return common


def _width(common, lengths, groups: int, costs: _Costs) -> int:
    """The padded length of beginnings with which they and the rests cost least."""
    widths = list(_ladder(int(common.max())))

    def cost(width: int) -> float:
        rest = int((lengths - np.minimum(common, width)).max())
        beginnings = costs.rows(groups, width, before=0)
        return beginnings + costs.rows(len(lengths), _rounded_up(rest), before=width)

    return min(widths, key=cost)


def _cut(tokens, lengths, starts, width: int) -> Int[np.ndarray, "row token"]:
    index = starts[:, None] + np.arange(width)[None]
    picked = np.take_along_axis(tokens, np.minimum(index, tokens.shape[1] - 1), axis=1)
    return np.where(index < lengths[:, None], picked, 0)


def _ladder(most: int) -> Iterator[int]:
    """Widths, up to the first that holds `most` tokens."""
    width = _rounded_up(1)
    while width < most:
        yield width
        width = _rounded_up(width + 1)
    yield width


def _rounded_up(tokens: int) -> int:
    """The next of two widths per doubling, from 16 on."""
    step = max(16, 2 ** (tokens - 1).bit_length() // 4)
    return -(-tokens // step) * step
