"""Every kind of edit at every site of every model: it does what it says, there only.

One program per model holds an edit of every site, switched by its weight. Which kind of
edit stands at which site turns from model to model, so that the models together meet
nearly every pair; all turns of each model are exhaustive.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax.interventions import (
    Dictionary,
    Edit,
    Site,
    add,
    apply,
    patch,
    project_onto,
    project_out,
    scale,
    scale_features,
    set_features,
)
from mcq_jax.model import sites_of
from tests import tiny
from tests.interventions.single import random, with_values
from tests.model.switches import (
    POSITIONS,
    ROWS,
    assert_plain,
    seen_at,
    switches,
)

# Relative to the largest expected number (1 at least), in float32.
ROUNDING = 1e-5
ROW, POSITION = 1, 3
CASES = list(tiny.CASES)
# The other two of no family meet no pair that these do not.
BY_DEFAULT = (tiny.FEW[0], "no norm, own score scale", *tiny.FAMILIES)


def squashed(x, strength):
    """A user's function, finite where scores are not."""
    return jnp.tanh(x * strength)


class Kind(NamedTuple):
    """A way to write an edit, and what it says in numpy."""

    build: Callable[..., Edit]
    # x [..., last axis], source -> x edited
    means: Callable[..., np.ndarray]


def _basis(site: Site, last: int) -> np.ndarray:
    return np.asarray(random(min(2, last), last, seed=list(Site).index(site)))


def _inside(x: np.ndarray, basis: np.ndarray) -> np.ndarray:
    return x @ np.linalg.pinv(basis) @ basis


def _dictionary(site: Site, last: int) -> Dictionary:
    """Features that are always active, so that each of them shows."""
    seed = list(Site).index(site)
    return Dictionary(
        encoder=random(last, 4, seed=seed),
        decoder=random(4, last, seed=seed + 100),
        encoder_bias=random(4, seed=seed + 200),
        decoder_bias=random(last, seed=seed + 300),
        threshold=jnp.full(4, -1e9),
    )


def _activations(x: np.ndarray, dictionary: Dictionary) -> np.ndarray:
    encoder, bias, center = map(
        np.asarray,
        (dictionary.encoder, dictionary.encoder_bias, dictionary.decoder_bias),
    )
    return (x - center) @ encoder + bias


def _set(site, source, **where) -> Edit:
    return set_features(site, _dictionary(site, source.shape[-1]), [1, 2], 2.0, **where)


def _set_means(site, x, source):
    dictionary = _dictionary(site, x.shape[-1])
    change = 2.0 - _activations(x, dictionary)[..., 1:3]
    return x + change @ np.asarray(dictionary.decoder)[1:3]


def _scaled(site, source, **where) -> Edit:
    dictionary = _dictionary(site, source.shape[-1])
    return scale_features(site, dictionary, [0, 3], 3.0, **where)


def _scaled_means(site, x, source):
    dictionary = _dictionary(site, x.shape[-1])
    change = 2.0 * _activations(x, dictionary)[..., [0, 3]]
    return x + change @ np.asarray(dictionary.decoder)[[0, 3]]


def _onto(site, source, **where) -> Edit:
    return project_onto(site, _basis(site, source.shape[-1]), **where)


def _out(site, source, **where) -> Edit:
    return project_out(site, _basis(site, source.shape[-1]), **where)


def _squash(site, source, **where) -> Edit:
    return apply(site, squashed, 0.7, **where)


KINDS = {
    "patch": Kind(patch, lambda site, x, source: source),
    "add": Kind(add, lambda site, x, source: x + source),
    "scale": Kind(scale, lambda site, x, source: x * source),
    "apply": Kind(_squash, lambda site, x, source: np.tanh(x * 0.7)),
    "project onto": Kind(
        _onto, lambda site, x, source: _inside(x, _basis(site, x.shape[-1]))
    ),
    "project out": Kind(
        _out, lambda site, x, source: x - _inside(x, _basis(site, x.shape[-1]))
    ),
    "set features": Kind(_set, _set_means),
    "scale features": Kind(_scaled, _scaled_means),
}
# What has a direction cannot be said of scores: those of keys to come are infinite.
OF_DIRECTIONS = ("project onto", "project out", "set features", "scale features")

every_model_and_turn = pytest.mark.parametrize(
    ("case", "turn"),
    [
        pytest.param(
            case,
            turn,
            marks=[pytest.mark.exhaustive]
            if turn or case not in BY_DEFAULT
            else tiny.marks_of(case),
        )
        for case in CASES
        for turn in range(len(KINDS))
    ],
)


def _kind_at(site: Site, case: str, turn: int) -> str:
    """Which kind of edit stands at a site of a model."""
    order = list(KINDS)
    place = list(Site).index(site) + CASES.index(case) + turn
    kind = order[place % len(order)]
    return "patch" if kind in OF_DIRECTIONS and site is Site.SCORES else kind


@functools.cache
def _builder(case: str, turn: int) -> Callable[..., Edit]:
    """The same object for the same turn, since programs are kept by it."""

    def build(site, source, **where):
        return KINDS[_kind_at(site, case, turn)].build(site, source, **where)

    return build


@pytest.mark.few
@every_model_and_turn
def test_at_weight_zero_no_edit_of_any_site_does_anything(case: str, turn: int):
    model = switches(case, build=_builder(case, turn))
    clean = model.run({}).logits
    assert_plain(clean, model)
    for bad in (jnp.nan, jnp.inf):
        broken = {site: with_values(edit, bad) for site, edit in model.edits.items()}
        logits = dataclasses.replace(model, edits=broken).run({}).logits
        np.testing.assert_array_equal(logits, clean)


@pytest.mark.few
@every_model_and_turn
def test_at_weight_one_a_site_holds_what_the_edit_says_and_only_there(
    case: str, turn: int
):
    model = switches(case, build=_builder(case, turn))
    clean = model.run({})
    weight = np.zeros((ROWS, POSITIONS))
    weight[ROW, POSITION] = 1.0
    for site in model.edits:
        kind = _kind_at(site, case, turn)
        edited = model.run({site: weight})
        before, after = (
            _by_position(seen_at(run, site), site) for run in (clean, edited)
        )
        source = np.asarray(model.sources[site], np.float64)
        source = _by_position(source[0], site)[ROW, POSITION]
        wide = np.asarray(before[ROW, POSITION], np.float64)
        expected = KINDS[kind].means(site, wide, source)
        _assert_close(after[ROW, POSITION], expected, site)
        after[ROW, POSITION] = before[ROW, POSITION]
        np.testing.assert_array_equal(after, before, err_msg=str(site))
        np.testing.assert_array_equal(edited.logits[0], clean.logits[0])
        np.testing.assert_array_equal(
            edited.logits[ROW, :POSITION], clean.logits[ROW, :POSITION]
        )
        if kind == "project onto" and site.axes[-1] == "one":
            continue  # what is left of a number, projected, is that number
        gap = np.abs(edited.logits[ROW, POSITION] - clean.logits[ROW, POSITION]).max()
        assert gap > 0, f"{kind} at {site}"


def test_by_default_every_kind_meets_nearly_every_site():
    met = {
        (site, _kind_at(site, case, 0)) for case in BY_DEFAULT for site in _sites(case)
    }
    every = {site for case in CASES for site in _sites(case)}
    assert len(met) > 0.7 * len(every) * len(KINDS)


def _sites(case: str):
    return sites_of(tiny.CASES[case])


@pytest.mark.parametrize("kind", OF_DIRECTIONS)
def test_scores_have_no_directions(kind: str):
    with pytest.raises(ValueError, match="scores of keys to come are -inf"):
        KINDS[kind].build(Site.SCORES, np.ones((1, 1, 1, 1, 1, POSITIONS)))


def _by_position(seen, site: Site) -> np.ndarray:
    """`[row, position, …]` of a site `[row, *axes]`, to be written to."""
    return np.moveaxis(np.array(seen), 1 + site.position_axis, 1)


def _assert_close(found: np.ndarray, expected: np.ndarray, site: Site) -> None:
    hidden = ~np.isfinite(found)
    np.testing.assert_array_equal(found[hidden], expected[hidden], err_msg=str(site))
    atol = ROUNDING * max(np.abs(expected[~hidden]).max(), 1.0)
    np.testing.assert_allclose(
        found[~hidden], expected[~hidden], rtol=0, atol=atol, err_msg=str(site)
    )
