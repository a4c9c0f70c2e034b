"""A subspace of what one head sees: scores by hand, and nothing for other readers."""

import functools

import numpy as np
import pytest

from mcq_jax import metrics
from mcq_jax.interventions import Node, Site
from mcq_jax.model import forward
from mcq_jax.model.positions import layer_frequencies
from mcq_jax.passes import Frame, Part, subspace_edit
from mcq_jax.prompts import batch_of
from tests import tiny
from tests.passes.test_head_views import CLOSE, KEYS, LENGTHS, asked, seen

CASES = (
    "grouped heads, biases, partial rotation",
    "as Gemma 3: normed heads, own rotation in windows",
    "as Gemma 2: norms on both sides, caps, windows",
)
FRAMES = {Frame.PRE_ROTATION: None, Frame.QUERY: None, Frame.MEAN_OFFSET: 2.5}
HEAD = Node(1, 1)


def basis(width: int, rank: int) -> metrics.Basis:
    vectors = metrics.random_directions(width, width, seed=0)[:rank]
    center = np.random.default_rng(1).normal(size=width)
    return metrics.Basis(
        name="drawn", vectors=vectors, center=center, weights=np.ones(rank)
    )


def edit(config, part: Part, rank: int, frame: Frame = Frame.QUERY, **options):
    return subspace_edit(
        part,
        basis(config.head_width, rank),
        HEAD,
        batch_of(asked(config)),
        config=config,
        frame=frame,
        mean_distance=FRAMES[frame],
        **options,
    )


def run(case: str, *edits):
    """SCORES and Z of the head's layer at the answer position, `[prompt, head, …]`."""
    config = tiny.CASES[case]
    out = forward(
        tiny.random_parameters(config),
        batch_of(asked(config)).ids,
        edits,
        config=config,
        capture=[Site.SCORES, Site.Z],
    )
    scores, z = (np.asarray(out.activations[site][1]) for site in (Site.SCORES, Site.Z))
    scores = scores.reshape(len(scores), config.heads, *scores.shape[3:])
    z = z.reshape(*z.shape[:2], config.heads, -1)
    rows, last = np.arange(len(LENGTHS)), np.array(LENGTHS) - 1
    at_keys = np.take_along_axis(scores[rows, :, last], KEYS[:, None], axis=-1)
    return at_keys, z[rows, last]


@functools.cache
def plain(case: str):
    return run(case)


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("part", [Part.QUERY, Part.KEYS])
@pytest.mark.parametrize(
    ("case", "complement"), [*((case, False) for case in CASES), (CASES[0], True)]
)
def test_scores_are_those_of_the_projected_view(case, part, frame, complement):
    config, own = tiny.CASES[case], basis(tiny.CASES[case].head_width, 2)
    # Whatever the frame of the basis, the model's score is the query frame's.
    view, shown = seen(case, Frame.QUERY), seen(case, frame, FRAMES[frame])
    here = view.heads.index(HEAD)

    def kept(x):
        inside = own.project(x)
        return x - inside + own.center if complement else inside

    query, keys = view.query[:, here], view.keys[:, here]
    if part is Part.QUERY:
        change = np.einsum("pw,pkw->pk", kept(query) - query, keys)
    else:
        # What the keys lose in the basis's frame, turned to the query's frame.
        lost = kept(shown.keys[:, here]) - shown.keys[:, here]
        change = turned_products(query, lost, view, frame, config)
    raw = np.einsum("pw,pkw->pk", query, keys) + change
    expected = raw * view.score_scale[here]
    if config.score_cap is not None:
        expected = config.score_cap * np.tanh(expected / config.score_cap)
    expected = np.where(np.isneginf(view.scores[:, here]), -np.inf, expected)
    scores, _ = run(case, edit(config, part, 2, frame, complement=complement))
    np.testing.assert_allclose(scores[:, HEAD.head], expected, rtol=0, atol=5 * CLOSE)
    others = [h for h in range(config.heads) if h != HEAD.head]
    np.testing.assert_allclose(
        scores[:, others], plain(case)[0][:, others], rtol=0, atol=CLOSE
    )


def turned_products(query, lost, view, frame, config):
    """Products with differences of keys, turned from their frame into the query's."""
    distance = {
        Frame.QUERY: 0.0 * view.distance,
        Frame.PRE_ROTATION: -1.0 * view.distance,
        Frame.MEAN_OFFSET: 2.5 - view.distance,
    }[frame]
    frequencies = layer_frequencies(config)[HEAD.layer]
    half = len(frequencies)
    angles = distance[..., None] * frequencies
    first, second = lost[..., :half], lost[..., half : 2 * half]
    turned = np.concatenate(
        [
            first * np.cos(angles) - second * np.sin(angles),
            second * np.cos(angles) + first * np.sin(angles),
            lost[..., 2 * half :],
        ],
        axis=-1,
    )
    return np.einsum("pw,pkw->pk", query, turned)


@pytest.mark.parametrize("part", Part)
def test_a_full_basis_changes_nothing_and_values_only_their_reader(part):
    case = CASES[0]
    config = tiny.CASES[case]
    _, whole = run(case, edit(config, part, config.head_width))
    np.testing.assert_allclose(whole, plain(case)[1], rtol=0, atol=CLOSE)
    _, z = run(case, edit(config, part, 0))
    moved = np.abs(z - plain(case)[1]).max(axis=(0, 2))
    assert (moved > 0.01).tolist() == [h == HEAD.head for h in range(config.heads)]


@pytest.mark.parametrize(
    ("case", "width", "frame", "mean", "message"),
    [
        (CASES[0], 5, Frame.QUERY, None, "drawn has vectors of 5 dimensions"),
        (CASES[0], 6, Frame.MEAN_OFFSET, None, "mean distance of None"),
        (CASES[0], 6, Frame.QUERY, 1.0, "only there"),
        (
            "as Chinchilla: relative positions",
            6,
            Frame.QUERY,
            None,
            "no key of",
        ),
    ],
)
def test_a_subspace_that_is_not_of_the_model_is_refused(
    case, width, frame, mean, message
):
    with pytest.raises(ValueError, match=message):
        subspace_edit(
            Part.KEYS,
            basis(width, 1),
            HEAD,
            batch_of(asked(tiny.CASES[case])),
            config=tiny.CASES[case],
            frame=frame,
            mean_distance=mean,
        )
