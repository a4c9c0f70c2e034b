"""A model of two layers and small integers, worked out on paper.

Tokens 2, 1 embed as (3, 1), (0, 2). All of the following is for both positions.

Layer 0. Values x0 + x1: 4, 2. Queries are 0, so both heads average what is in sight:
    z = 4 | (4 + 2) / 2 = 3.    Head 0 writes (z, 0), head 1 (0, -z):
    mid = (3 + 4, 1 - 4) = (7, -3) | (0 + 3, 2 - 3) = (3, -1)
    neurons = relu(mid) = (7, 0) | (3, 0), each writing (1, 1) and (1, 2):
    post = (7 + 7, -3 + 7) = (14, 4) | (3 + 3, -1 + 3) = (6, 2)
Layer 1. Keys are x0: 14, 6; values x1: 4, 2. At position 1 head 0 scores
    600 * 14 against 600 * 6 and looks at position 0, head 1 with -600 at position 1:
    z = (4, 4) | (4, 2).    Heads write (2 z, 0) and (0, 3 z):
    mid = (14 + 8, 4 + 12) = (22, 16) | (6 + 8, 2 + 6) = (14, 8)
    neurons = relu(x0 - x1, x1 - x0) = (6, 0) | (6, 0), writing (0, 2) and (5, 5):
    post = (22, 28) | (14, 20)
Logits are x0, x1 and x0 - x1.
"""

import jax.numpy as jnp
import numpy as np

from mcq_jax.interventions import Site, add, patch, scale
from mcq_jax.model import forward
from tests import tiny

TOKENS = jnp.array([[2, 1]])


def _run(edits=(), capture=()):
    parameters = tiny.by_hand_parameters()
    return forward(parameters, TOKENS, edits, config=tiny.BY_HAND, capture=capture)


def _logits_at_the_end(*edits):
    return np.asarray(_run(edits).logits[0, -1]).tolist()


def test_logits_are_those_worked_out_on_paper():
    np.testing.assert_array_equal(_run().logits, [[[22, 28, -6], [14, 20, -6]]])


def test_every_step_on_the_way_is_that_of_the_paper():
    seen = _run(
        capture=[Site.Z, Site.PATTERN, Site.RESID_MID, Site.MLP_POST, Site.RESID_POST]
    ).activations
    # [layer, row, position, kv_head, group, head_width] -> [layer, position, head]
    z = seen[Site.Z][:, 0, :, 0, :, 0]
    np.testing.assert_array_equal(z, [[[4, 4], [3, 3]], [[4, 4], [4, 2]]])
    mid = [[[7, -3], [3, -1]], [[22, 16], [14, 8]]]
    np.testing.assert_array_equal(seen[Site.RESID_MID][:, 0], mid)
    neurons = [[[7, 0], [3, 0]], [[6, 0], [6, 0]]]
    np.testing.assert_array_equal(seen[Site.MLP_POST][:, 0], neurons)
    post = [[[14, 4], [6, 2]], [[22, 28], [14, 20]]]
    np.testing.assert_array_equal(seen[Site.RESID_POST][:, 0], post)
    # Layer 1 at the last position: head 0 looks at position 0, head 1 at position 1.
    np.testing.assert_array_equal(seen[Site.PATTERN][1, 0, 0, :, -1], [[1, 0], [0, 1]])


def test_patching_one_head_by_hand():
    # Head 1 of layer 1 gives 10: mid (14, 2 + 30), neurons (0, 18) write (90, 90).
    source = jnp.full((1, 1, 2, 1, 2, 1), 10.0)
    head = jnp.array([0.0, 1.0]).reshape(1, 1, 1, 1, 2, 1)
    edit = patch(Site.Z, source, layers=(1,), weight=head)
    assert _logits_at_the_end(edit) == [104, 122, -18]


def test_patching_one_position_by_hand():
    # The last token enters layer 1 as (20, 0): keys 14, 20, values 4, 0, both heads
    # of position 1 turn around: z (0, 4), mid (20, 12), neurons (8, 0) write (0, 16).
    edit = patch(
        Site.RESID_PRE, jnp.array([20.0, 0.0]).reshape(1, 1, 1, 2),
        layers=(1,), positions=1,
    )  # fmt: skip
    assert _logits_at_the_end(edit) == [20, 28, -8]


def test_knocking_out_attention_by_hand():
    # Without its view of position 0, head 0 of layer 1 reads 2: mid (10, 8), neurons
    # (2, 0) write (0, 4). Head 1 loses nothing: it looked at position 1 anyway.
    blind = jnp.array([-jnp.inf, 0.0]).reshape(1, 1, 1, 1, 1, 2)
    edit = add(Site.SCORES, blind, layers=(1,), positions=1)
    assert _logits_at_the_end(edit) == [10, 12, -2]


def test_scaling_by_hand():
    # The feed-forward block of layer 1 writes (0, 6) in place of (0, 12).
    assert _logits_at_the_end(scale(Site.MLP_OUT, 0.5, layers=(1,))) == [14, 14, 0]


def test_steering_by_hand():
    # (1, -1) twice onto the last residual (14, 20).
    direction = jnp.array([1.0, -1.0]).reshape(1, 1, 1, 2)
    steer = add(Site.FINAL_RESID, direction, weight=2.0)
    assert _logits_at_the_end(steer) == [16, 18, -2]


def test_edits_of_one_site_apply_in_the_order_given():
    # (14 + 2, 20) * 3 is not (14 * 3 + 2, 60).
    plus = add(Site.FINAL_RESID, jnp.array([2.0, 0.0]).reshape(1, 1, 1, 2))
    times = scale(Site.FINAL_RESID, 3.0)
    assert _logits_at_the_end(plus, times) == [48, 60, -12]
    assert _logits_at_the_end(times, plus) == [44, 60, -16]
