"""Keys and values as only some queries read them, and single heads' outputs."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax.interventions import Capture, Site, apply, patch
from mcq_jax.model import forward, read_by
from mcq_jax.passes import prefill, resume_edited
from tests import tiny

ROWS, POSITIONS, LAYER = 2, 5, 1
CONFIG = tiny.CASES["grouped heads, biases, partial rotation"]
TOKENS = tiny.random_tokens(CONFIG, ROWS, POSITIONS)
SITES = (Site.K, Site.ROT_K, Site.V)
# Relative to the largest number, in float32.
ROUNDING = 1e-5

# Query 2 and 4 of head (1, 3), all queries of head (0, 1).
SOME = np.zeros((POSITIONS, CONFIG.kv_heads, CONFIG.group), bool)
SOME[[2, 4], 1, 3] = SOME[:, 0, 1] = True
EVERYONE = np.ones_like(SOME)

every_site = pytest.mark.parametrize("site", SITES)


@functools.cache
def _parameters(dtype: str = "float32"):
    return tiny.random_parameters(CONFIG, dtype=jnp.dtype(dtype))


def _edit(site: Site, weight=1.0):
    sizes = (1, ROWS, POSITIONS, CONFIG.kv_heads, CONFIG.head_width)
    value = np.random.default_rng(0).normal(size=sizes)
    return patch(site, value, layers=(LAYER,), weight=np.full((1,) * 5, weight))


def _run(*edits, dtype: str = "float32", capture=(Site.Z,)):
    parameters = _parameters(dtype)
    return forward(parameters, TOKENS, edits, config=CONFIG, capture=capture)


@pytest.mark.few
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@every_site
def test_readers_at_weight_zero_change_nothing_bit_for_bit(site: Site, dtype: str):
    plain = forward(_parameters(dtype), TOKENS, config=CONFIG).logits
    edited = _run(read_by(_edit(site, 0.0), EVERYONE), dtype=dtype).logits
    np.testing.assert_array_equal(edited, plain)


@every_site
def test_what_everyone_reads_is_the_edited_site(site: Site):
    everyone = _run(read_by(_edit(site), EVERYONE)).logits
    np.testing.assert_array_equal(everyone, _run(_edit(site)).logits)


@every_site
def test_only_readers_read_the_edit(site: Site):
    seen = _run(read_by(_edit(site), SOME)).activations[Site.Z][LAYER]
    edited = _run(_edit(site)).activations[Site.Z][LAYER]
    clean = _run().activations[Site.Z][LAYER]
    expected = np.where(SOME[None, ..., None], edited, clean)
    np.testing.assert_array_equal(seen, expected)
    # But for the first token, and whoever looks at one key alone, keys change it.
    assert (edited != clean).any(-1)[:, SOME].mean() > 0.5


@pytest.mark.few
@every_site
def test_a_function_sees_the_selected_keys_and_no_others(site: Site):
    """In their order; also where some lie in a pass that was run before."""
    edit = apply(site, turned_around, layers=[LAYER], positions=[1, 3])
    expected = _run(edit).logits
    np.testing.assert_array_equal(_run(read_by(edit, EVERYONE)).logits, expected)
    last = np.zeros_like(EVERYONE)
    last[-1] = True
    whole = _run(read_by(edit, last), capture=(Site.FINAL_RESID,)).activations
    if site is Site.K:
        return  # a pass that was run keeps rotated keys only
    for suffix in (1, 3):
        lengths = np.full(ROWS, POSITIONS)
        start = prefill(_parameters(), TOKENS, lengths, config=CONFIG, suffix=suffix)
        found = resume_edited(
            _parameters(), start, [read_by(edit, last)], of=np.arange(ROWS),
            config=CONFIG,
        )  # fmt: skip
        _assert_close(found.final, whole[Site.FINAL_RESID][:, -1])


def turned_around(x):
    return x[::-1] * 2


def test_two_heads_that_share_keys_may_each_read_their_own():
    first, second = np.zeros_like(SOME), np.zeros_like(SOME)
    first[:, 0, 1] = second[:, 0, 2] = True
    one, other = _edit(Site.V), _edit(Site.V)
    other = dataclasses.replace(other, value=2 * other.value)
    both = _run(read_by(one, first), read_by(other, second)).activations[Site.Z]
    for edit, head in ((one, 1), (other, 2)):
        alone = _run(edit).activations[Site.Z]
        found = both[LAYER, :, :, 0, head]
        np.testing.assert_array_equal(found, alone[LAYER, :, :, 0, head])


@pytest.mark.few
@every_site
def test_a_weight_of_zero_has_the_slope_of_a_small_one(site: Site):
    @jax.jit
    def loss(weight):
        edit = dataclasses.replace(_edit(site), weight=weight.reshape((1,) * 5))
        return (_run(read_by(edit, SOME)).activations[Site.Z][LAYER] ** 2).sum()

    step = 1e-2
    slope = jax.grad(loss)(jnp.float32(0))
    expected = (loss(jnp.float32(step)) - loss(jnp.float32(-step))) / (2 * step)
    np.testing.assert_allclose(slope, expected, rtol=1e-2)
    assert abs(slope) > 0.1


def test_readers_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="an edit of Site.Q for some readers"):
        read_by(patch(Site.Q, 0.0), SOME)
    with pytest.raises(ValueError, match=r"readers have shape \(2, 4\)"):
        read_by(_edit(Site.V), SOME[0])
    with pytest.raises(ValueError, match="have sizes .*, or 1"):
        _run(read_by(_edit(Site.V), SOME[:3]))
    with pytest.raises(
        ValueError, match=r"Site.K and Site.ROT_K name the same .*\[1\]"
    ):
        _run(read_by(_edit(Site.K), SOME), read_by(_edit(Site.ROT_K), EVERYONE))


def test_a_heads_output_is_what_it_writes_of_z():
    """Patching z of a head is patching its output by what the new z would write."""
    run = _run(capture=(Site.Z, Site.HEAD_OUT, Site.ATTN_OUT))
    z, outputs = run.activations[Site.Z], run.activations[Site.HEAD_OUT]
    total = run.activations[Site.ATTN_OUT]
    _assert_close(outputs.sum((3, 4)), total)
    weight = _parameters().layers[LAYER]["attention"]["output"]
    new_z = jnp.cos(jnp.arange(z[LAYER].size, dtype=float)).reshape(z[LAYER].shape)
    new_output = jnp.einsum("rpkgh,kghw->rpkgw", new_z, weight[0])
    by_z = patch(Site.Z, new_z[None], layers=(LAYER,), heads=[6])
    by_output = patch(Site.HEAD_OUT, new_output[None], layers=(LAYER,), heads=[6])
    expected = _run(by_z).logits
    _assert_close(_run(by_output).logits, expected)
    assert jnp.abs(expected - run.logits).max() > 0.1


def test_heads_outputs_exist_only_where_they_are_asked_for():
    sizes = (ROWS, POSITIONS, CONFIG.kv_heads, CONFIG.group, CONFIG.width)
    shape = f"f32[{','.join(map(str, sizes))}]"

    def program(*capture):
        def run(parameters):
            return forward(parameters, TOKENS, config=CONFIG, capture=capture).logits

        return str(jax.make_jaxpr(run)(_parameters()))

    assert shape in program(Site.HEAD_OUT)
    assert shape not in program(Site.Z, Capture(site=Site.ATTN_OUT))


def _assert_close(found, expected):
    atol = ROUNDING * float(jnp.abs(expected).max())
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)
