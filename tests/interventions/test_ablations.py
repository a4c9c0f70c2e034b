"""Where the sources of patches come from."""

import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax.interventions import (
    Edit,
    Site,
    freeze,
    from_rows,
    mean_ablate,
    resample_ablate,
    zero_ablate,
)
from tests.interventions.single import activation, applied, random

ROWS = 3


def _captured(site: Site, layers: int = 2):
    """`[layer, row, *site axes]`, as a capture comes."""
    shape = activation(site).shape
    return random(layers, ROWS, *shape)


def _result(edit: Edit, *, layer: int, row: int):
    return applied(edit, activation(edit.site, seed=9), layer=layer, row=row)


def test_zero_ablation_sets_to_zero():
    edit = zero_ablate(Site.Z, layers=[1], heads=[2])
    assert (_result(edit, layer=1, row=0)[:, 0, 2] == 0).all()


def test_mean_ablation_sets_to_the_mean_over_rows():
    seen = _captured(Site.MLP_OUT)
    edit = mean_ablate(Site.MLP_OUT, seen, layers=[0, 1])
    for layer in range(2):
        for row in range(ROWS):
            found = _result(edit, layer=layer, row=row)
            np.testing.assert_allclose(found, seen[layer].mean(0), rtol=1e-6)


def test_resample_ablation_gives_each_row_what_another_had():
    seen, rows = _captured(Site.Z), [2, 0, 1]
    edit = resample_ablate(Site.Z, seen, rows, layers=[0, 1])
    for row, other in enumerate(rows):
        found = _result(edit, layer=1, row=row)
        np.testing.assert_array_equal(found, seen[1, other])


def test_rows_of_a_site_outside_the_layers():
    seen = random(ROWS, 4, 5)
    found = from_rows(Site.EMBED, seen, jnp.array([1, 1, 0]))
    np.testing.assert_array_equal(found, seen[jnp.array([1, 1, 0])])
    edit = resample_ablate(Site.EMBED, seen, [1, 1, 0])
    np.testing.assert_array_equal(_result(edit, layer=0, row=2), seen[0])


def test_freezing_holds_every_captured_site_in_the_layers_asked_for():
    sites = (Site.Z, Site.MLP_OUT, Site.FINAL_SCALE)
    seen = {
        site: _captured(site, 3) if site.per_layer else random(ROWS, 4, 1)
        for site in sites
    }
    edits = freeze(seen, layers=[1, 2])
    assert [edit.site for edit in edits] == list(sites)
    for edit in edits[:2]:
        x = activation(edit.site, seed=9)
        for row in range(ROWS):
            held = applied(edit, x, layer=2, row=row)
            np.testing.assert_array_equal(held, seen[edit.site][2, row])
            np.testing.assert_array_equal(applied(edit, x, layer=0, row=row), x)
    held = _result(edits[2], layer=0, row=1)
    np.testing.assert_array_equal(held, seen[Site.FINAL_SCALE][1])


def test_freezing_what_was_not_captured_is_refused():
    with pytest.raises(ValueError, match=r"layers \[2\] of Site.Z to freeze, with 2"):
        freeze({Site.Z: _captured(Site.Z)}, layers=[1, 2])
