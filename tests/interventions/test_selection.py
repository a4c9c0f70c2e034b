"""Selectors say where; everything else stays as it is, bit for bit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax.interventions import Edit, Site, from_end, last, patch, scale
from tests.interventions.single import activation, applied, one_row

HEAD_SITES = [site for site in Site if "group" in site.axes]
KEY_HEAD_SITES = [Site.K, Site.ROT_K, Site.V]
NEURON_SITES = [Site.MLP_GATE, Site.MLP_PRE, Site.MLP_POST]


def _changed(edit: Edit, site: Site, **options) -> np.ndarray:
    """Which numbers of an activation an edit to 0 changes."""
    x = jnp.ones_like(activation(site))
    found = np.asarray(applied(edit, x, **options))
    assert set(np.unique(found)) <= {0, 1}
    return found == 0


@pytest.mark.parametrize("site", HEAD_SITES, ids=str)
def test_heads_are_query_heads_where_queries_are_read(site: Site):
    changed = _changed(patch(site, 0.0, heads=[4, 0]), site)
    axis = site.axes.index("kv_head")
    by_head = np.moveaxis(changed, (axis, axis + 1), (0, 1))
    expected = np.zeros((2, 3), bool)
    expected[0, 0] = expected[1, 1] = True  # head 4 of groups of 3
    for kv_head in range(2):
        for group in range(3):
            assert (by_head[kv_head, group] == expected[kv_head, group]).all()


@pytest.mark.parametrize("site", KEY_HEAD_SITES, ids=str)
def test_heads_of_keys_and_values_are_key_heads(site: Site):
    changed = _changed(patch(site, 0.0, heads=[1]), site)
    assert changed[:, 1].all() and not changed[:, 0].any()


@pytest.mark.parametrize("site", NEURON_SITES, ids=str)
def test_neurons(site: Site):
    changed = _changed(patch(site, 0.0, neurons=[3, 1]), site)
    assert changed.all(axis=0).tolist() == [False, True, False, True, False]
    assert changed.sum() == 2 * len(changed)


def test_keys_and_positions_select_entries_of_the_pattern():
    edit = patch(Site.PATTERN, 0.0, heads=[5], positions=[1, 3], keys=[0, 2])
    changed = np.argwhere(_changed(edit, Site.PATTERN)).tolist()
    assert changed == [[1, 2, q, k] for q in (1, 3) for k in (0, 2)]


def test_rows_select_their_own_heads_and_positions():
    edit = patch(Site.Z, 0.0, heads=[[0], [5]], positions=[[2], [1]])
    for row, place in enumerate(([2, 0, 0], [1, 1, 2])):
        changed = _changed(edit, Site.Z, row=row)
        assert np.argwhere(changed[..., 0]).tolist() == [place]


def test_layers_select_their_own_heads():
    edit = patch(Site.Z, 0.0, layers=[2, 7], heads=[[[0]], [[5]]])
    for layer, place in ((2, [0, 0]), (7, [1, 2])):
        changed = _changed(edit, Site.Z, layer=layer)
        assert np.argwhere(changed[0, ..., 0]).tolist() == [place]
    assert not _changed(edit, Site.Z, layer=3).any()


def test_a_single_index_needs_no_brackets():
    one, other = (
        patch(Site.Z, 0.0, layers=3, heads=1, positions=2),
        patch(Site.Z, 0.0, layers=[3], heads=[1], positions=[2]),
    )
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_selected_heads_are_values_of_one_program():
    traced = []

    @jax.jit
    def run(heads, x):
        traced.append(heads)
        return applied(scale(Site.Z, 0.0, heads=heads), x)

    x = jnp.ones_like(activation(Site.Z))
    for head in range(6):
        changed = run(jnp.array([head]), x) == 0
        assert np.argwhere(changed[0, ..., 0]).tolist() == [[head // 3, head % 3]]
    assert len(traced) == 1


@pytest.mark.parametrize("head", [-1, 6])
def test_a_traced_head_out_of_range_touches_no_other(head: int):
    run = jax.jit(lambda heads, x: applied(scale(Site.Z, 0.0, heads=heads), x))
    x = activation(Site.Z)
    np.testing.assert_array_equal(run(jnp.array([head]), x), x)


def test_positions_from_the_end():
    lengths = np.array([5, 3])
    np.testing.assert_array_equal(last(lengths), [[4], [2]])
    np.testing.assert_array_equal(from_end(2, lengths), [[3], [1]])
    np.testing.assert_array_equal(from_end([3, 1], lengths), [[2, 4], [0, 2]])
    edit = one_row(patch(Site.Z, 0.0, positions=last(lengths)), row=1)
    np.testing.assert_array_equal(edit.positions, [2])
    np.testing.assert_array_equal(jax.jit(last)(lengths), [[4], [2]])


@pytest.mark.parametrize(
    ("count", "message"),
    [(0, "1 is the last token"), (4, "4 tokens from the end of a row of 3 tokens")],
)
def test_positions_before_the_start_are_refused(count: int, message: str):
    with pytest.raises(ValueError, match=message):
        from_end(count, np.array([5, 3]))


def test_a_name_may_hold_the_layer():
    edit = patch("blocks.3.attn.hook_z", 0.0, heads=[1])
    assert edit.site is Site.Z and np.asarray(edit.layers).tolist() == [3]
    ours = patch("resid_pre", 0.0, layers=[2])
    assert np.asarray(ours.layers).tolist() == [2]
    with pytest.raises(ValueError, match="is in layer 3 already, and layers are"):
        patch("blocks.3.attn.hook_z", 0.0, layers=[4])


@pytest.mark.parametrize(
    ("site", "where", "message"),
    [
        (Site.Z, {"heads": []}, "heads of an edit of Site.Z are empty: it would"),
        (Site.Z, {"positions": []}, "positions of .* are empty"),
        (Site.MLP_POST, {"neurons": ()}, "neurons of .* are empty"),
        (Site.PATTERN, {"keys": []}, "keys of .* are empty"),
        (Site.MLP_POST, {"heads": [0]}, "heads of Site.MLP_POST, which has neurons"),
        (Site.Z, {"neurons": [0]}, "neurons of Site.Z, which has heads"),
        (Site.RESID_PRE, {"heads": [0]}, "which has neither heads nor neurons"),
        (Site.Z, {"keys": [0]}, "keys of Site.Z, which has none; only Site.SCORES"),
        (Site.Z, {"heads": [1.5]}, "heads .* type float32; give whole numbers"),
        (Site.Z, {"layers": [0.0]}, "layers .* type float32"),
        (Site.Z, {"positions": [True, False]}, "type bool; that is a mask"),
        (Site.Z, {"layers": [1], "heads": [[[0]], [[1]]]}, "with 1 slots, one per"),
        (Site.Z, {"weight": 1j}, "weight .* has complex numbers"),
    ],
)
def test_selections_that_mean_nothing_are_refused(site, where, message: str):
    with pytest.raises(ValueError, match=message):
        patch(site, 0.0, **where)


def test_an_unknown_selector_is_an_error():
    with pytest.raises(ValueError, match="no position=.*is positions= meant"):
        patch(Site.Z, 0.0, position=3)  # pyright: ignore[reportCallIssue]
    with pytest.raises(ValueError, match="no layer=.*is layers= meant"):
        patch(Site.Z, 0.0, layer=3)  # pyright: ignore[reportCallIssue]
