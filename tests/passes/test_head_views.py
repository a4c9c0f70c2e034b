"""What heads see: in the query's frame scores are the model's, in every family."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax.interventions import Node, Site, all_nodes
from mcq_jax.model import forward
from mcq_jax.passes import Frame, SeenByHeads, seen_by_heads
from mcq_jax.prompts import TokenisedPrompt
from tests import tiny

CLOSE = 1e-4
LENGTHS = (9, 6, 12)
# What stands behind each answer position, by distance; all within the shortest prompt.
KEYS = np.array([[3, 5, 8], [0, 2, 4], [11, 4, 7]])


def asked(config) -> list[TokenisedPrompt]:
    tokens = np.asarray(tiny.random_tokens(config, len(LENGTHS), max(LENGTHS)))
    none = np.array([1, 2], np.int32)
    return [
        TokenisedPrompt(
            ids=row[:length],
            spans=(),
            label_positions=keys.astype(np.int32),
            label_ids=none,
            answer_ids=none,
            gold=0,
            question=f"q{index}",
        )
        for index, (row, length, keys) in enumerate(
            zip(tokens, LENGTHS, KEYS, strict=True)
        )
    ]


def heads(config) -> list[Node]:
    return [n for n in all_nodes(config.layers, config.heads) if n.head is not None]


@functools.cache
def seen(case: str, frame: Frame, mean_distance: float | None = None) -> SeenByHeads:
    config = tiny.CASES[case]
    return seen_by_heads(
        tiny.random_parameters(config, sizes=(1, 2)),
        asked(config),
        heads(config),
        config=config,
        frame=frame,
        mean_distance=mean_distance,
    )


@functools.cache
def captured(case: str) -> dict[Site, np.ndarray]:
    """Q, V and SCORES `[prompt, layer, …]`, picked out of a plain forward pass."""
    config = tiny.CASES[case]
    ids = np.zeros((len(LENGTHS), max(LENGTHS)), np.int32)
    for row, prompt in enumerate(asked(config)):
        ids[row, : len(prompt.ids)] = prompt.ids
    found: dict[Site, list] = {Site.Q: [], Site.V: [], Site.SCORES: []}
    out = forward(
        tiny.random_parameters(config, sizes=(1, 2)),
        ids,
        config=config,
        capture=tuple(found),
    )
    for row, (length, keys) in enumerate(zip(LENGTHS, KEYS, strict=True)):
        own = {site: np.asarray(a)[:, row] for site, a in out.activations.items()}
        found[Site.Q].append(own[Site.Q][:, length - 1])
        found[Site.V].append(own[Site.V][:, keys])
        found[Site.SCORES].append(own[Site.SCORES][..., length - 1, keys])
    return {site: np.stack(rows) for site, rows in found.items()}


def by_head(a: np.ndarray) -> np.ndarray:
    """`[prompt, layer, kv_head, group, …]` as `[prompt, head, …]`."""
    return a.reshape(len(a), -1, *a.shape[4:])


@pytest.mark.few
@tiny.every_case(1)
def test_scores_in_the_querys_frame_are_the_models(case: str):
    view = seen(case, Frame.QUERY)
    expected = by_head(captured(case)[Site.SCORES])
    np.testing.assert_allclose(view.scores, expected, rtol=0, atol=CLOSE)
    np.testing.assert_allclose(view.scores_in_frame(), expected, rtol=0, atol=CLOSE)
    is_windowed = tiny.CASES[case].window is not None
    assert np.isneginf(expected).any() == is_windowed
    assert np.isfinite(expected).any()
    distance = np.array(LENGTHS)[:, None] - 1 - KEYS
    np.testing.assert_array_equal(view.distance, distance)


@tiny.every_case(1)
def test_values_are_those_of_the_head_and_queries_are_before_rotation(case: str):
    config, view = tiny.CASES[case], seen(case, Frame.PRE_ROTATION)
    values = np.swapaxes(captured(case)[Site.V], 2, 3)  # [prompt, layer, kv, key, …]
    repeated = np.repeat(values, config.group, axis=2)
    expected = repeated.reshape(len(values), -1, *values.shape[3:])
    np.testing.assert_allclose(view.values, expected, rtol=0, atol=CLOSE)
    queries = by_head(captured(case)[Site.Q])
    if config.query_key_norm.name == "NONE":
        np.testing.assert_allclose(view.query, queries, rtol=0, atol=CLOSE)
    elif config.query_key_norm.name == "HEAD":
        # Normed: before its gain every query has the length root(head_width).
        parameters = tiny.random_parameters(config)
        gain = np.asarray(parameters.layers[0]["attention"]["query_norm_gain"])[0]
        lengths = np.linalg.norm(view.query[:, : config.heads] / gain, axis=-1)
        np.testing.assert_allclose(lengths, config.head_width**0.5, rtol=1e-3)


@tiny.every_case(1)
def test_a_key_at_the_mean_distance_has_the_models_score(case: str):
    config = tiny.CASES[case]
    if config.learned_positions:
        with pytest.raises(ValueError, match="learned positions: they are part of"):
            seen(case, Frame.MEAN_OFFSET)
        return
    for fixed in (1, 5):
        view = seen(case, Frame.MEAN_OFFSET, fixed)
        own, found = seen(case, Frame.QUERY).scores, view.scores_in_frame()
        is_there = np.broadcast_to((view.distance == fixed)[:, None], own.shape)
        assert is_there.any()
        np.testing.assert_allclose(found[is_there], own[is_there], rtol=0, atol=CLOSE)
        turns = config.rotary_width > 0 or config.relative_positions
        is_other = ~is_there & np.isfinite(own)
        moved = np.abs(found[is_other] - own[is_other]).max()
        assert (moved > 0.05) == turns


@tiny.every_case(1)
def test_before_rotation_scores_know_nothing_of_distance(case: str):
    config = tiny.CASES[case]
    before = seen(case, Frame.PRE_ROTATION).scores_in_frame()
    turns = config.rotary_width > 0 or config.relative_positions
    model = seen(case, Frame.QUERY).scores
    is_seen = np.isfinite(model)
    same = np.abs(before[is_seen] - model[is_seen]).max() < CLOSE
    assert same != turns
    if turns and not config.relative_positions:
        # A key turned by nothing is one before rotation.
        at_zero = seen(case, Frame.MEAN_OFFSET, 0.0).scores_in_frame()
        np.testing.assert_allclose(before, at_zero, rtol=0, atol=CLOSE)


def test_the_mean_distance_is_that_of_all_keys_where_left_out():
    case = "grouped heads, biases, partial rotation"
    mean = (5 + 3 + 0 + 5 + 3 + 1 + 0 + 7 + 4) / 9
    left_out = seen(case, Frame.MEAN_OFFSET)
    given = seen(case, Frame.MEAN_OFFSET, mean)
    np.testing.assert_allclose(left_out.keys, given.keys, rtol=0, atol=CLOSE)


def test_scores_of_a_bfloat16_model_are_its_own_too():
    case = "as Gemma 3: normed heads, own rotation in windows"
    config = tiny.CASES[case]
    parameters = tiny.random_parameters(config, dtype=jnp.bfloat16)
    view = seen_by_heads(parameters, asked(config), heads(config), config=config)
    np.testing.assert_allclose(view.scores_in_frame(), view.scores, rtol=0, atol=CLOSE)


@pytest.mark.slow
def test_other_keys_and_few_heads_are_slices():
    case = "as Gemma 2: norms on both sides, caps, windows"
    config, whole = tiny.CASES[case], seen(case, Frame.QUERY)
    chosen = [Node(2, 3), Node(0, 1)]
    part = seen_by_heads(
        tiny.random_parameters(config),
        asked(config),
        chosen,
        config=config,
        keys=KEYS[:, ::-1],
        prompts_at_once=2,
    )
    places = [whole.heads.index(head) for head in chosen]
    for name in ("keys", "values", "scores"):
        expected = getattr(whole, name)[:, places][:, :, ::-1]
        np.testing.assert_allclose(getattr(part, name), expected, rtol=0, atol=CLOSE)
    np.testing.assert_allclose(part.query, whole.query[:, places], rtol=0, atol=CLOSE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heads": []}, "no heads to look through"),
        ({"heads": [Node(3, 0)]}, "L3H0 in a model of 3 layers"),
        ({"heads": [Node(0, 2)]}, "L0H2 is no head of a model with 2 heads"),
        ({"heads": [Node(0)]}, "L0MLP is no head"),
        ({"asked": []}, "no prompts to look into"),
        ({"keys": KEYS[:2]}, r"keys of shape \(2, 3\) for 3 prompts"),
        ({"keys": KEYS + 1}, "keys .* of prompt 0, which has 9 tokens"),
        ({"keys": KEYS - 1}, "prompt 1, which has 6 tokens"),
    ],
)
def test_what_is_not_there_is_refused(change, message):
    config = tiny.CASES["every head its own keys, full rotation"]
    given = {"asked": asked(config), "heads": [Node(0, 0)]} | change
    with pytest.raises(ValueError, match=message):
        seen_by_heads(
            tiny.random_parameters(config),
            given.pop("asked"),
            given.pop("heads"),
            config=config,
            **given,
        )
