"""Laws that hold at every site of every model in the table."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax.interventions import Site, patch
from mcq_jax.model import forward, sites_of
from tests import tiny
from tests.model.switches import (
    LAYER,
    POSITIONS,
    ROWS,
    assert_plain,
    clean_run,
    seen_at,
    switches,
)

# Relative to the largest logit (1 at least), in float32.
ROUNDING = 1e-5
CASES = list(tiny.CASES)
# The rounding of bfloat16 is the same in all models; two save the compiling of four.
CASES_AND_TYPES = [(case, "float32") for case in CASES]
CASES_AND_TYPES += [(case, "bfloat16") for case in (CASES[1], CASES[3])]

every_case = pytest.mark.parametrize(
    ("case", "dtype"),
    [
        pytest.param(case, dtype, marks=tiny.marks_of(case))
        for case, dtype in CASES_AND_TYPES
    ],
)


def every_site(law: int):
    """Every site of every model; by default a site meets the law in every third model.

    Which ones turns from site to site and from law to law. A site that few models have
    meets it in all of them.
    """
    by_site: dict[Site, list[tuple[str, str]]] = {}
    for case, dtype in CASES_AND_TYPES:
        for site in sites_of(tiny.CASES[case]):
            by_site.setdefault(site, []).append((case, dtype))
    return pytest.mark.parametrize(
        ("case", "dtype", "site"),
        [
            pytest.param(
                *where, site,
                marks=tiny.marks_of(where[0])
                if len(models) < 3 or (place + list(Site).index(site) + law) % 3 == 0
                else [pytest.mark.exhaustive],
            )
            for site, models in by_site.items()
            for place, where in enumerate(models)
        ],
    )  # fmt: skip


some_cases = pytest.mark.parametrize("case", [CASES[0], CASES[3]])


def _assert_close(found, expected, **options):
    largest = max(float(jnp.abs(expected).max()), 1.0)
    atol = ROUNDING * largest
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol, **options)


@pytest.mark.few
@every_case
def test_zero_weights_give_the_plain_program_bit_for_bit(case: str, dtype: str):
    assert_plain(clean_run(case, dtype).logits, switches(case, dtype))


@every_site(0)
def test_weight_one_makes_a_site_equal_its_source(case: str, dtype: str, site: Site):
    model = switches(case, dtype)
    seen = seen_at(model.run({site: 1.0}), site)
    source = model.edits[site].value[0]
    np.testing.assert_array_equal(seen, source.astype(seen.dtype))


@every_site(1)
def test_an_edit_changes_its_site_and_only_what_comes_after(
    case: str, dtype: str, site: Site
):
    model = switches(case, dtype)
    clean, edited = clean_run(case, dtype), model.run({site: 1.0})
    for other in sites_of(model.config):
        if other < site:
            before, after = seen_at(clean, other), seen_at(edited, other)
            np.testing.assert_array_equal(after, before, err_msg=str(other))
    assert (edited.logits != clean.logits).any()


@every_site(2)
def test_edits_at_later_positions_never_change_earlier_logits(
    case: str, dtype: str, site: Site
):
    model = switches(case, dtype)
    first_edited = np.array([2, 3])
    weight = np.arange(POSITIONS) >= first_edited[:, None]  # [row, position]
    clean, edited = clean_run(case, dtype).logits, model.run({site: weight}).logits
    for row, first in enumerate(first_edited):
        np.testing.assert_array_equal(edited[row, :first], clean[row, :first])
        assert (edited[row, first] != clean[row, first]).any()


@every_site(3)
def test_rows_may_have_different_weights(case: str, dtype: str, site: Site):
    model = switches(case, dtype)
    logits = model.run({site: np.array([[0.0], [1.0]])}).logits
    np.testing.assert_array_equal(logits[0], clean_run(case, dtype).logits[0])
    np.testing.assert_array_equal(logits[1], model.run({site: 1.0}).logits[1])


@every_site(4)
def test_a_non_finite_source_does_nothing_at_weight_zero(
    case: str, dtype: str, site: Site
):
    model = switches(case, dtype)
    for bad in (jnp.nan, jnp.inf):
        source = {site: jnp.full_like(model.edits[site].value, bad)}
        logits = model.run({}, sources=source).logits
        np.testing.assert_array_equal(logits, clean_run(case, dtype).logits)
    assert not jnp.isfinite(model.run({site: 1.0}, sources=source).logits).all()


@every_case
@pytest.mark.parametrize("site", [Site.EMBED, Site.RESID_PRE])
def test_patching_the_whole_input_gives_the_source_run(
    case: str, dtype: str, site: Site
):
    model = switches(case, dtype)
    other = tiny.random_tokens(model.config, ROWS, POSITIONS, seed=1)
    source = model.run({}, tokens=other)
    seen = source.activations[site]
    first = seen[:1] if site.per_layer else seen[None]
    first = first.astype(jnp.float32)  # as the program has it
    patched = model.run({site: 1.0}, sources={site: first}, layers={site: 0})
    np.testing.assert_array_equal(patched.logits, source.logits)
    assert (patched.logits != clean_run(case, dtype).logits).any()


@some_cases
def test_patching_all_that_writes_into_the_residual_gives_the_source_run(case: str):
    config, model = tiny.CASES[case], switches(case)
    other = tiny.random_tokens(config, ROWS, POSITIONS, seed=1)
    source = model.run({}, tokens=other)
    seen, layers = source.activations, range(config.layers)
    edits = [
        patch(Site.EMBED, seen[Site.EMBED][None]),
        patch(Site.ATTN_OUT, seen[Site.ATTN_OUT], layers=layers),
        patch(Site.MLP_OUT, seen[Site.MLP_OUT], layers=layers),
    ]
    patched = forward(model.parameters, model.tokens, edits, config=config)
    np.testing.assert_array_equal(patched.logits, source.logits)


def test_a_batch_of_edits_under_vmap_equals_a_loop():
    model = switches(CASES[1])
    sites = sites_of(model.config)

    @jax.jit
    def together(weights):
        return jax.vmap(logits)(weights)

    def logits(weights):
        return model.run(dict(zip(sites, weights, strict=True))).logits

    batch = together(jnp.eye(len(sites)))
    for site, batched in zip(sites, batch, strict=True):
        _assert_close(batched, model.run({site: 1.0}).logits, err_msg=str(site))


@some_cases
def test_padding_behind_a_sequence_changes_nothing_before_it(case: str):
    model = switches(case)
    padding = tiny.random_tokens(model.config, ROWS, 4, seed=2)
    padded = jnp.concatenate([model.tokens, padding], axis=1)
    logits = forward(model.parameters, padded, config=model.config).logits
    _assert_close(logits[:, :POSITIONS], model.plain)


def test_positions_of_each_row_select_what_a_mask_of_weights_would():
    case = CASES[1]
    model = switches(case)
    sites = (Site.K, Site.SCORES, Site.MLP_POST)
    positions = np.array([[1, 4], [3, 0]])
    edits = []
    for site in sites:
        axis = 2 + site.position_axis
        rows = positions.reshape(
            1, ROWS, *(2 if axis == "position" else 1 for axis in site.axes)
        )
        source = jnp.take_along_axis(model.edits[site].value, rows, axis=axis)
        edits.append(patch(site, source, layers=(LAYER,), positions=positions))
    selected = forward(model.parameters, model.tokens, edits, config=model.config)
    mask = (np.arange(POSITIONS) == positions[:, :, None]).any(1)
    masked = model.run(dict.fromkeys(sites, mask))
    _assert_close(selected.logits, masked.logits)
