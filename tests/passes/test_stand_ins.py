"""Stand-ins in resumed rows: whole passes under the edits of one head at a time."""

import numpy as np
import pytest

from mcq_jax import metrics
from mcq_jax.interventions import Capture, Node, Site
from mcq_jax.model import forward
from mcq_jax.passes import (
    Frame,
    Part,
    StandIns,
    prefill,
    resume_edited,
    seen_by_heads,
    seen_in_pass,
    stand_in_edits,
    subspace_edit,
)
from mcq_jax.prompts import batch_of
from tests import tiny
from tests.passes.test_head_views import CLOSE, asked

GROUPED = "grouped heads, biases, partial rotation"
CASES = (GROUPED, "as Gemma 3: normed heads, own rotation in windows")
# Before every answer position.
KEYS = np.array([[3, 5, 7], [0, 2, 4], [10, 4, 7]])
# Two that read one key head, and one behind them.
HEADS = (Node(0, 0), Node(0, 1), Node(2, 1))


def start_of(case: str):
    config = tiny.CASES[case]
    parameters = tiny.random_parameters(config, sizes=(1, 2))
    batch = batch_of(asked(config))
    start = prefill(
        parameters, batch.ids, batch.lengths, config=config, sites=(Site.ROT_Q,)
    )
    return config, parameters, batch, start


def drawn_basis(config, part: Part, head: int, rank: int) -> metrics.Basis:
    seed = 10 * head + list(Part).index(part)
    center = np.random.default_rng(seed).normal(size=config.head_width)
    vectors = metrics.random_directions(rank, config.head_width, seed=seed)
    return metrics.Basis(
        name="drawn", vectors=vectors, center=center, weights=np.ones(rank)
    )


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("frame", [Frame.QUERY, Frame.PRE_ROTATION])
def test_what_is_seen_in_a_pass_is_what_heads_see(case, frame):
    config, parameters, batch, start = start_of(case)
    view = seen_by_heads(
        parameters, asked(config), HEADS, config=config, frame=frame, keys=KEYS
    )
    seen = seen_in_pass(start, HEADS, np.arange(3), KEYS, config=config, frame=frame)
    for part, expected in (
        (Part.QUERY, view.query),
        (Part.KEYS, view.keys.swapaxes(1, 2)),
        (Part.VALUES, view.values.swapaxes(1, 2)),
    ):
        np.testing.assert_allclose(seen[part], expected, rtol=0, atol=CLOSE)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "frame", "keeps"),
    [
        (CASES[0], Frame.QUERY, True),
        pytest.param(CASES[1], Frame.PRE_ROTATION, False, marks=pytest.mark.exhaustive),
    ],
)
def test_rows_equal_whole_passes_under_edits_of_each_head(case, frame, keeps):
    """Of queries, of keys and values; the last row is not edited."""
    config, parameters, batch, start = start_of(case)
    rows = [(Part.QUERY,), (Part.KEYS, Part.VALUES), ()]
    of = np.tile(np.arange(3), len(rows))
    row = np.repeat(np.arange(len(rows)), 3)
    stand_ins = {}
    for part in Part:
        bases = [drawn_basis(config, part, h, 2) for h in range(len(HEADS))]
        keys = () if part is Part.QUERY else (KEYS.shape[1],)
        center = np.stack([basis.center for basis in bases]).astype(np.float32)
        vectors = np.stack([basis.vectors for basis in bases]).astype(np.float32)
        is_edited = np.array([part in rows[r] for r in row])
        stand_ins[part] = StandIns(
            center=np.broadcast_to(center, (len(of), *keys, *center.shape)),
            vectors=np.broadcast_to(vectors, (len(of), *vectors.shape)),
            keeps=np.full(len(of), keeps),
            is_edited=np.repeat(is_edited[:, None], len(HEADS), axis=1),
        )
    edits = stand_in_edits(
        stand_ins, start, of, HEADS, KEYS[of], config=config,
        frame=frame,
    )  # fmt: skip
    found = resume_edited(parameters, start, edits, of=of, config=config).final
    found = np.asarray(found).reshape(len(rows), 3, -1)
    last = batch.lengths - 1
    moved = []
    for index, parts in enumerate(rows):
        by_hand = [
            subspace_edit(
                part, drawn_basis(config, part, h, 2), head, batch, config=config,
                frame=frame, complement=not keeps, keys=KEYS,
            )
            for part in parts
            for h, head in enumerate(HEADS)
        ]  # fmt: skip
        whole = forward(
            parameters, batch.ids, by_hand, config=config,
            capture=[Capture.of(Site.RESID_POST, layers=[config.layers - 1])],
        ).activations[Site.RESID_POST]  # fmt: skip
        expected = np.asarray(whole)[0, np.arange(3), last]
        scale = np.abs(expected).max()
        np.testing.assert_allclose(found[index], expected, rtol=0, atol=1e-4 * scale)
        moved.append(np.abs(found[index] - found[-1]).max() / scale)
    assert min(moved[:-1]) > 0.01
    np.testing.assert_allclose(found[-1], np.asarray(start.final), rtol=0, atol=1e-4)


def test_no_other_head_reads_what_stands_in():
    config, parameters, batch, start = start_of(GROUPED)
    of = np.arange(3)
    center = np.ones((3, KEYS.shape[1], 1, config.head_width))
    nothing = np.zeros((3, 1, 1, config.head_width), np.float32)
    one = StandIns(
        center=center.astype(np.float32), vectors=nothing, keeps=np.ones(3, bool),
        is_edited=np.ones((3, 1), bool),
    )  # fmt: skip
    edits = stand_in_edits(
        {Part.VALUES: one}, start, of, HEADS[1:2], KEYS, config=config
    )
    z = resume_edited(
        parameters, start, edits, of=of, config=config, capture=[Capture(site=Site.Z)]
    ).activations[Site.Z]
    clean = start.nodes[Site.Z]
    first = np.abs(np.asarray(z)[0, :, 0] - np.asarray(clean)[0]).max(axis=(0, 3))
    expected = np.zeros((config.kv_heads, config.group), bool)
    expected[divmod(1, config.group)] = True
    np.testing.assert_array_equal(first > 1e-3, expected)


def test_a_key_at_the_answer_position_is_refused():
    config, _, _, start = start_of(GROUPED)
    last = np.array([[3, 5, 8]])
    with pytest.raises(ValueError, match="of row 0, which answers at 8"):
        stand_in_edits({}, start, np.array([0]), HEADS[:1], last, config=config)


@pytest.mark.parametrize(
    ("case", "frame", "message"),
    [
        (GROUPED, Frame.MEAN_OFFSET, "lost its distance"),
        ("as Chinchilla: relative positions", Frame.QUERY, "relative positions"),
    ],
)
def test_frames_from_which_a_key_does_not_come_back_are_refused(case, frame, message):
    config, _, batch, start = start_of(case)
    with pytest.raises(ValueError, match=message):
        stand_in_edits(
            {}, start, np.arange(3), HEADS[:1], KEYS, config=config,
            frame=frame,
        )  # fmt: skip


def test_a_stand_in_is_an_affine_map():
    width = 6
    basis = metrics.Basis(
        name="drawn", vectors=metrics.random_directions(2, width, seed=0),
        center=np.arange(width) / 3.0, weights=np.ones(2),
    )  # fmt: skip
    x = np.random.default_rng(0).normal(size=(2, 5, 1, width))
    stand_in = StandIns(
        center=np.broadcast_to(basis.center, x.shape),
        vectors=np.broadcast_to(basis.vectors, (2, 1, 2, width)),
        keeps=np.array([True, False]),
        is_edited=np.ones((2, 1), bool),
    )
    found, inside = stand_in.of(x), basis.project(x)
    np.testing.assert_allclose(found[0], inside[0])
    np.testing.assert_allclose(found[1], (x - inside + basis.center)[1])
