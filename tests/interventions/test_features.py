"""Edits of one learned feature leave all else, the reconstruction error included."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax.interventions import Site, scale_features, set_features
from tests.interventions.single import activation, applied
from tests.interventions.test_kinds import dictionary

ROUNDING = 1e-5
SITE = Site.RESID_POST


def _close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=ROUNDING)


def test_activations_by_hand():
    known = dataclasses.replace(
        dictionary(width=2, features=2),
        encoder=jnp.array([[1.0, 0.0], [0.0, -1.0]]),
        encoder_bias=jnp.array([0.0, 1.0]),
        decoder_bias=jnp.array([1.0, 1.0]),
        threshold=jnp.array([0.0, 2.5]),
    )
    x = jnp.array([[3.0, -1.0], [0.0, 0.0]])
    # Before the threshold: [2, 3] and [-1, 2].
    _close(known.activations(x), [[2, 3], [0, 0]])


def test_setting_a_feature_moves_x_along_its_direction_by_what_was_missing():
    x, known = activation(SITE), dictionary()
    found = applied(set_features(SITE, known, [3], 2.0), x)
    missing = 2.0 - known.activations(x)[:, 3:4]
    _close(found - x, missing * known.decoder[3:4])


def test_a_feature_set_to_what_it_is_changes_nothing():
    x, known = activation(SITE)[:1], dictionary()
    present = known.activations(x)[0]
    found = applied(set_features(SITE, known, jnp.arange(7), present), x)
    _close(found, x)


def test_scaling_a_feature_scales_its_share():
    x, known = activation(SITE), dictionary()
    active = known.activations(x)
    feature = int(active.sum(0).argmax())
    share = active[:, feature, None] * known.decoder[feature][None]
    assert (share != 0).any()
    for factor in (0.0, 1.0, 3.0):
        found = applied(scale_features(SITE, known, feature, factor), x)
        _close(found - x, (factor - 1) * share)


def test_several_features_are_read_before_any_is_changed():
    x, known = activation(SITE), dictionary()
    both = applied(set_features(SITE, known, [1, 4], jnp.array([2.0, -1.0])), x) - x
    alone = [
        applied(set_features(SITE, known, [feature], target), x) - x
        for feature, target in ((1, 2.0), (4, -1.0))
    ]
    _close(both, sum(alone))


@pytest.mark.parametrize("features", [[7], [-1], []])
def test_features_that_a_dictionary_lacks_are_refused(features):
    with pytest.raises(
        ValueError, match="of a dictionary with 7; name some of|are empty"
    ):
        set_features(SITE, dictionary(), np.array(features, int), 1.0)
