"""Prompts that share their beginnings come to what each comes to by itself."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from mcq_jax.costs.machine import CPU
from mcq_jax.interventions import Site
from mcq_jax.model import Int8Weight
from mcq_jax.passes import (
    Keys,
    answer_prompts,
    answer_readout,
    dissect,
    prefill,
    prefix_tree,
    run_prefix,
)
from tests import tiny

ROUNDING = 1e-5
ANSWERS = np.array([[1, 5], [0, 3], [12, 11]])
SITES = (Site.V, Site.PATTERN, Site.SCORES)
RELATIVE = "relative positions"
CASES = [
    "as GPT-2: layer norm, learned positions",
    "as Gemma 2: norms on both sides, caps, windows",
    RELATIVE,
]
OTHERS = [case for case in tiny.CASES if case not in CASES]


@pytest.fixture
def free_levels(monkeypatch):
    """A machine on which whatever saves FLOPs pays."""
    free = dataclasses.replace(CPU, program=0.0, reading=0)
    monkeypatch.setattr(prefix_tree, "machine_at_hand", lambda: free)


def _config(case: str):
    if case == RELATIVE:
        config = dataclasses.replace(
            tiny.CASES["grouped heads, biases, partial rotation"],
            rotary_width=0,
            relative_positions=True,
        )
    else:
        config = tiny.CASES[case]
    return dataclasses.replace(config, context=64)


def _prompts(vocabulary: int, shots: int = 18):
    """Two questions behind the same tokens, two or three times each, and another one.

    The first question is asked twice in the same words; one prompt of the second is
    its beginning and a single token. One prompt has nothing in common with any.
    """
    draw = np.random.default_rng(5)
    stretch = functools.partial(draw.integers, vocabulary)
    before, first, second = (stretch(size=n) for n in (shots, 19, 17))
    again = stretch(size=9)
    rows = [
        [before, first, again],
        [before, second, stretch(size=14)],
        [before, first, stretch(size=12)],
        [(before[:1] + 1) % vocabulary, stretch(size=39)],
        [before, second, stretch(size=1)],
        [before, first, again],
        [before, second, stretch(size=8)],
        [before, first, stretch(size=12)],
    ]
    rows = [np.concatenate(row) for row in rows]
    lengths = np.array([len(row) for row in rows], np.int32)
    tokens = np.full((len(rows), 64), 1, np.int32)
    for row, ids in zip(tokens, rows, strict=True):
        row[: len(ids)] = ids
    return tokens, lengths


def _close(found, expected):
    scale = max(1.0, float(np.abs(np.where(np.isfinite(expected), expected, 0)).max()))
    np.testing.assert_allclose(found, expected, rtol=0, atol=ROUNDING * scale)


def _assert_equal(found, plain, lengths):
    """Two passes over the same prompts, but for the keys of padding."""
    for name in ("answer_position", "resid_pre", "embedding", "head_scale", "final"):
        _close(getattr(found, name), getattr(plain, name))
    is_token = np.arange(found.pattern.shape[-1]) < lengths[:, None]
    for one, other in zip(found.blocks, plain.blocks, strict=True):
        assert one.keys.shape == other.keys.shape
        _close(one.keys[:, is_token], other.keys[:, is_token])
        _close(one.values[:, is_token], other.values[:, is_token])
        np.testing.assert_array_equal(one.positions, other.positions)
        np.testing.assert_array_equal(one.length, other.length)
    _close(found.pattern, plain.pattern)
    jax.tree.map(_close, found.activations, plain.activations)
    jax.tree.map(_close, found.nodes, plain.nodes)


@pytest.mark.few
@pytest.mark.parametrize(
    "case",
    [*CASES, *(pytest.param(c, marks=pytest.mark.exhaustive) for c in OTHERS)],
)
def test_a_prompt_pass_is_the_same_with_shared_beginnings(case, request):
    config = _config(case)
    parameters = tiny.random_parameters(config)
    tokens, lengths = _prompts(config.vocabulary)
    run = functools.partial(prefill, parameters, config=config, sites=SITES)
    plain = run(tokens, lengths)  # of so small a model nothing pays
    request.getfixturevalue("free_levels")
    levels = prefix_tree.prefix_tree(tokens, lengths, config)
    assert [len(level.tokens) for level in levels] == [2, 3, 8]
    _assert_equal(run(tokens, lengths), plain, lengths)


@pytest.mark.slow
def test_int8_weights_answer_the_same_with_shared_beginnings(request):
    config = tiny.CASES[CASES[1]]
    config = dataclasses.replace(config, context=64)
    parameters = _int8(tiny.random_parameters(config))
    tokens, lengths = _prompts(config.vocabulary)
    ids = np.tile([[3, 1], [0, 5]], (4, 1))
    run = functools.partial(answer_prompts, parameters, config=config)
    plain = run(tokens, lengths, ids)
    request.getfixturevalue("free_levels")
    jax.tree.map(_close, run(tokens, lengths, ids), plain)


def _int8(parameters):
    def narrow(leaf):
        if leaf.ndim < 3:
            return leaf
        scale = abs(leaf).max(tuple(range(1, leaf.ndim - 1)), keepdims=True) / 127
        values = (leaf / scale).round().astype("int8")
        return Int8Weight(values=values, scale=scale, dtype=leaf.dtype)

    return parameters._replace(layers=jax.tree.map(narrow, parameters.layers))


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES[1:])
def test_prompts_behind_a_prefix_are_taken_apart_as_whole_ones(case, request):
    config = _config(case)
    parameters = tiny.random_parameters(config)
    tokens, lengths = _prompts(config.vocabulary)
    tokens, lengths = tokens[:3], lengths[:3]  # which all begin with 18 tokens
    whole = _taken_apart(parameters, tokens, lengths, config)
    shared = run_prefix(parameters, tokens[0, :18], config=config)
    behind = _taken_apart(parameters, tokens, lengths, config, prefix=shared)
    jax.tree.map(_close, behind, whole)
    answer = functools.partial(answer_prompts, parameters, config=config)
    answers = answer(tokens[:, 18:], lengths - 18, ANSWERS, prefix=shared)
    jax.tree.map(_close, answers, answer(tokens, lengths, ANSWERS))
    request.getfixturevalue("free_levels")
    levels = prefix_tree.prefix_tree(tokens[:, 18:], lengths - 18, config)
    assert [len(level.tokens) for level in levels] == [2, 3]
    both = _taken_apart(parameters, tokens, lengths, config, prefix=shared)
    jax.tree.map(_close, both, whole)


@pytest.mark.slow
def test_what_is_not_finite_behind_a_prefix_is_named_as_in_the_whole():
    config = dataclasses.replace(_config(RELATIVE), vocabulary=99)
    tokens, lengths = _prompts(98)
    tokens, lengths = tokens[:3], lengths[:3]
    tokens[1, 40] = 98
    parameters = tiny.random_parameters(config)
    parameters.embed["~"]["table"] = parameters.embed["~"]["table"].at[98].set(np.inf)
    answer = functools.partial(answer_prompts, parameters, config=config)
    shared = run_prefix(parameters, tokens[0, :18], config=config)
    with pytest.raises(ValueError, match="1 of 3 prompts") as whole:
        answer(tokens, lengths, ANSWERS)
    with pytest.raises(ValueError) as behind:
        answer(tokens[:, 18:], lengths - 18, ANSWERS, prefix=shared)
    assert str(behind.value) == str(whole.value)


def _taken_apart(parameters, tokens, lengths, config, *, prefix=None):
    behind = 0 if prefix is None else prefix.length
    run = prefill(
        parameters, tokens[:, behind:], lengths - behind, config=config, prefix=prefix
    )
    readout = answer_readout(parameters, run, tokens[:, :2], config=config)
    draw = np.random.default_rng(3)
    keys = Keys(
        label_positions=np.array([[3, 20], [17, 40], [18, 36]]),
        key_class=draw.integers(3, size=tokens.shape),
        key_option=draw.integers(-1, 2, size=tokens.shape),
        is_content=draw.integers(2, size=tokens.shape) > 0,
    )
    return dissect(parameters, run, readout, keys, key_classes=3, config=config)


def _whole(levels, row: int) -> list[int]:
    """A prompt's tokens, put together from all levels."""
    ids, parents = [], row
    for level in reversed(levels):
        ids = level.tokens[parents, : level.lengths[parents]].tolist() + ids
        start, parents = level.starts[parents], level.parents[parents]
        assert len(ids) == levels[-1].starts[row] + levels[-1].lengths[row] - start
    return ids


def _levels(rows, *, own: int = 1, width: int = 64):
    """The levels of ragged rows, after checking that they hold these rows."""
    lengths = np.array([len(row) for row in rows], np.int32)
    tokens = np.zeros((len(rows), width), np.int32)
    for padded, row in zip(tokens, rows, strict=True):
        padded[: len(row)] = row
    levels = prefix_tree.prefix_tree(tokens, lengths, CONFIG, own=own)
    assert [_whole(levels, i) for i in range(len(rows))] == [list(row) for row in rows]
    assert (levels[-1].lengths >= np.minimum(lengths, own)).all()
    return levels


CONFIG = tiny.CASES["grouped heads, biases, partial rotation"]
COMMON = list(range(2, 34))


@pytest.mark.usefixtures("free_levels")
@pytest.mark.parametrize(
    ("rows", "own", "counts"),
    [
        ([COMMON], 1, [1]),
        ([COMMON, [1, *COMMON], [0]], 1, [3]),
        ([COMMON, COMMON, COMMON], 1, [1, 3]),
        ([COMMON, [*COMMON, 7], [*COMMON, 8, 9]], 1, [1, 3]),
        ([COMMON[:5] + [6], COMMON[:5] + [8]], 1, [2]),
        ([COMMON, COMMON], len(COMMON), [2]),
        ([[*COMMON, 3], [*COMMON, 4], [5], [6] * 50], 2, [3, 4]),
    ],
    ids=[
        "one prompt", "nothing in common", "the same", "all but one token",
        "too short to pay", "all tokens are their own", "a prompt of one token",
    ],
)  # fmt: skip
def test_levels_hold_the_prompts(rows, own, counts):
    assert [len(level.tokens) for level in _levels(rows, own=own)] == counts


@pytest.mark.usefixtures("free_levels")
def test_levels_never_cost_more_than_whole_prompts():
    draw = np.random.default_rng(0)
    for _ in range(30):
        stems = [draw.integers(9, size=n) for n in draw.integers(1, 60, size=4)]
        rows = []
        for _ in range(draw.integers(1, 12)):
            stem = stems[draw.integers(4)]
            rows.append([*stem[: draw.integers(1, 60)], *draw.integers(9, size=4)])
        levels = _levels(rows, own=int(draw.integers(1, 4)))
        none = np.zeros(len(rows), int)
        whole = prefix_tree.Level.whole(np.zeros((len(rows), 64), int), none)
        assert prefix_tree.flops(levels, CONFIG) <= prefix_tree.flops((whole,), CONFIG)


def test_levels_pay_where_they_are_compiled_for_more_than_they_save():
    model = dataclasses.replace(CONFIG, width=64, neurons=256, layers=12)
    tokens, lengths = _prompts(CONFIG.vocabulary)

    def counts(repeats):
        tree = prefix_tree.prefix_tree(tokens, lengths, model, repeats=repeats)
        return [len(level.tokens) for level in tree]

    assert counts(1) == [8] and len(counts(10_000)) > 1
