"""Learned subspaces: planted variables are found, absent ones flagged, laws kept."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax import learning, metrics, planted, prompts
from mcq_jax.interventions import Capture, Node, Site, patch
from mcq_jax.learning import Where
from mcq_jax.model import forward
from mcq_jax.planted import asking
from tests import tiny

ROUNDING = 1e-4
# Thresholds of what is there, and what is not, fixed before anything was run.
STRONG, WEAK = 0.8, 0.2


@dataclasses.dataclass(frozen=True)
class Asked:
    """Rows of one form, run, with what each should answer, and the arbitrary target."""

    batches: list[learning.Pairs]
    place: np.ndarray
    own: np.ndarray
    target: np.ndarray
    other: np.ndarray
    sides: tuple[np.ndarray, ...]
    bases: list[prompts.TokenisedPrompt]
    sources: list[prompts.TokenisedPrompt]

    def targets(self, which: np.ndarray) -> list[np.ndarray]:
        rows = learning.rows_of(len(which), self.batches[0].count)
        return [which[row] for row in rows]


def _ask(model, *, count: int, seed: int, form: str = "permuted") -> Asked:
    """Each question a base, with a source for every place."""
    asked = [
        prompts.Wording(question=q, template=asking.TEMPLATE)
        for q in asking.generate_questions(count, choices=4, seed=seed)
    ]
    pairs = prompts.swap_pairs(asked, prompts.SWAP_FORMS[form], seed=seed)
    tokenizer = asking.tokenizer()
    bases, sources = (
        [
            prompts.tokenise(prompts.render_wording(getattr(p, side)), tokenizer)
            for p in pairs
        ]
        for side in ("base", "source")
    )
    place = np.array([pair.lines["place"] for pair in pairs])
    return Asked(
        batches=learning.run_pairs(
            model.parameters, bases, sources, config=model.config, at_once=16
        ),
        place=place,
        own=np.array([pair.lines["own"] for pair in pairs]),
        target=place,
        other=(place + 1) % 4,
        sides=tuple(
            np.array([p.content_id for p in side]) for side in (bases, sources)
        ),
        bases=bases,
        sources=sources,
    )


def _learned(model, asked: Asked, target: np.ndarray, layer: int, **options):
    how = {"rank": 4, "steps": 60, "learning_rate": 0.05} | options
    target = np.where(asked.place == asked.own, -1, target)
    return learning.learn_subspace(
        model.parameters, asked.batches, asked.targets(target), Where(layer=layer),
        config=model.config, **how,
    )  # fmt: skip


def _answers(model, asked: Asked, basis, layer: int) -> np.ndarray:
    return learning.answers_under(
        model.parameters, asked.batches, basis, Where(layer=layer),
        rows=len(asked.own), config=model.config,
    )  # fmt: skip


def _moved(model, test: Asked, both, layer: int) -> learning.MovedBy:
    counts = (test.target != test.own) & (test.other != test.own)
    right, other = (
        (_answers(model, test, basis, layer) == wanted)[counts]
        for basis, wanted in zip(both, (test.target, test.other), strict=True)
    )
    first, second = (side[counts] for side in test.sides)
    return learning.moved_by(right, other, first, second)


def _read_parts(model, bases, layer: int) -> list[np.ndarray]:
    """Without what nothing downstream reads."""
    read = learning.read_directions(model.parameters, layer, model.config.layers)
    return [learning.read_part(basis[0], read)[0][None] for basis in bases]


def _layer_behind(truth: planted.Truth, role: str) -> int:
    return max(node.layer for node in truth.playing(role)) + 1


@pytest.fixture(scope="module")
def wanted():
    """A model that goes by the line, in front of the layer that knows it."""
    model = planted.plant(0)
    layer = _layer_behind(model.truth, "agreeing block")
    return model, layer, _ask(model, count=12, seed=1), _ask(model, count=24, seed=2)


@pytest.mark.slow
def test_a_planted_place_is_found_beyond_the_arbitrary_target(wanted):
    model, layer, study, test = wanted
    # As many dimensions as four places have.
    both = [
        _learned(model, study, t, layer, rank=3)[0] for t in (study.target, study.other)
    ]
    assert _moved(model, test, both, layer).learned.mean >= STRONG
    moved = _moved(model, test, _read_parts(model, both, layer), layer)
    assert moved.learned.mean >= STRONG and moved.control.mean <= WEAK
    assert moved.margin.low > 0
    # The class means' subspace needs no learning; all that is swapped is read.
    means = learning.class_mean_basis(
        study.batches, study.place, Where(layer=layer), rank=4
    )
    found = _answers(model, test, means, layer)
    assert (found == test.target).mean() == 1


def _learned_of_a_shadow(seed: int):
    """A shadow knows the line and nobody reads it; what is read is not written yet."""
    model = planted.plant(seed, has_shadow=True, layers=8)
    layer = _layer_behind(model.truth, "shadow head")
    assert layer <= min(n.layer for n in model.truth.playing("content gatherer"))
    study, test = _ask(model, count=12, seed=1), _ask(model, count=24, seed=2)
    both = [_learned(model, study, t, layer)[0] for t in (study.target, study.other)]
    read = learning.read_directions(model.parameters, layer, model.config.layers)
    assert learning.read_part(both[0][0], read)[1] > 0.1
    parts = _moved(model, test, _read_parts(model, both, layer), layer)
    return _moved(model, test, both, layer), parts


@pytest.mark.slow
def test_a_dormant_subspace_looks_strong_and_is_flagged():
    """Naive: a place, found in four dimensions; and so is the one after it."""
    naive, parts = _learned_of_a_shadow(5)
    assert naive.learned.mean >= STRONG and naive.control.mean > WEAK
    assert parts.learned.mean <= WEAK
    assert parts.margin.low <= 0 <= parts.margin.high


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", range(6, 26))
def test_of_more_dormant_subspaces_nothing_is_left_that_is_read(seed: int):
    """Not all of them are found by one start; none moves anything by what is read."""
    _, parts = _learned_of_a_shadow(seed)
    assert parts.learned.mean <= WEAK
    assert parts.margin.low <= 0 <= parts.margin.high


@pytest.mark.slow
def test_bases_stay_orthonormal_and_depend_on_the_seed_alone(wanted):
    model, layer, study, _ = wanted
    first, losses = _learned(model, study, study.target, layer, steps=8)
    again, _ = _learned(model, study, study.target, layer, steps=8)
    other, others = _learned(model, study, study.target, layer, steps=8, seed=1)
    np.testing.assert_array_equal(first, again)
    # Of two starts the better one by its last round of batches counts.
    best, _ = _learned(model, study, study.target, layer, steps=8, starts=2)
    last = -len(study.batches)
    is_first = losses[last:].mean() < others[last:].mean()
    np.testing.assert_array_equal(best, first if is_first else other)
    assert np.abs(first - other).max() > 0.01
    # Where no row has a target there is nothing to learn.
    _, none = learning.learn_subspace(
        model.parameters, study.batches, [np.full_like(t, -1) for t in study.targets(
            study.target)], Where(layer=layer), rank=4, steps=2, config=model.config,
    )  # fmt: skip
    np.testing.assert_array_equal(none, 0)
    np.testing.assert_allclose(first[0] @ first[0].T, np.eye(4), atol=1e-5)
    assert losses.shape == (8,) and np.isfinite(losses).all()


@pytest.mark.slow
def test_slopes_are_those_of_differences(wanted):
    """Of the loss along a random change of the basis, by finite differences."""

    model, layer, study, _ = wanted
    random = np.random.default_rng(0)
    raw, change = (
        jnp.asarray(random.normal(size=(1, 2, model.config.width)), jnp.float32)
        for _ in range(2)
    )

    def value(step):
        basis = learning.orthonormal_rows(raw + step * change)
        logits = learning.interchanged(
            model.parameters, study.batches[0], basis, Where(layer=layer),
            config=model.config,
        )  # fmt: skip
        return (logits @ jnp.arange(4.0)).sum()

    slope = float(jax.grad(value)(0.0))
    by_hand = (float(value(0.02)) - float(value(-0.02))) / 0.04
    assert slope == pytest.approx(by_hand, rel=0.02)


RANDOM = dataclasses.replace(
    tiny.CASES["grouped heads, biases, partial rotation"],
    vocabulary=len(asking.VOCABULARY),
    context=64,
)


@pytest.mark.few
@pytest.mark.parametrize("heads", [(), (Node(0, 1), Node(2, 0))], ids=["residual", "q"])
def test_rows_equal_whole_passes(heads):
    """By hand in numpy, patched into `forward` one prompt at a time."""
    parameters = tiny.random_parameters(RANDOM, seed=0)
    where = Where(layer=1, heads=heads)
    model = dataclasses.make_dataclass("Model", ["parameters", "config"])(
        parameters, RANDOM
    )
    asked = _ask(model, count=3, seed=5)
    random = np.random.default_rng(1)
    shape = (*where.shape(RANDOM), 2, where.width(RANDOM))
    basis = np.asarray(
        learning.orthonormal_rows(jnp.asarray(random.normal(size=shape), jnp.float32))
    )
    found = np.concatenate([
        learning.interchanged(
            parameters, batch, jnp.asarray(basis), where, config=RANDOM
        )
        for batch in asked.batches
    ])  # fmt: skip
    pairs = list(zip(asked.bases, asked.sources, strict=True))
    for row in (0, 5, 11):
        ids = [np.array(prompt.ids)[None] for prompt in pairs[row]]
        last = [len(prompt.ids) - 1 for prompt in pairs[row]]

        def held(side: int, edits=()):
            wish = Capture.of(
                where.site,
                layers=where.layers,
                positions=[[last[side]]],  # noqa: B023
            )
            run = forward(parameters, ids[side], edits, config=RANDOM, capture=[wish])  # noqa: B023
            return np.asarray(run.activations[where.site])

        edits, source = [], held(1)
        for slot, layer in enumerate(where.layers):
            own = held(0, edits)[slot]
            away = (source[slot] - own)[0, 0]
            along = np.einsum("...kw,...w->...k", basis[slot], away)
            moved = np.einsum("...k,...kw->...w", along, basis[slot])
            moved = moved * where.mask(RANDOM)[slot][..., None]
            edits.append(
                patch(where.site, own[None] + moved, layers=[layer],
                      positions=[[last[0]]])
            )  # fmt: skip
        logits = np.asarray(forward(parameters, ids[0], edits, config=RANDOM).logits)
        expected = logits[0, last[0], pairs[row][0].answer_ids]
        scale = np.abs(expected).max()
        np.testing.assert_allclose(found[row], expected, atol=ROUNDING * scale, rtol=0)


@pytest.mark.slow
def test_what_is_not_read_changes_no_answer():
    model = planted.plant(1)
    layer = 3
    read = learning.read_directions(model.parameters, layer, model.config.layers)
    unread = np.linalg.svd(read)[2][len(read) :]
    assert 10 < len(unread) < model.config.width
    ids = np.array(_ask(model, count=2, seed=0).bases[0].ids)[None]
    base = forward(model.parameters, ids, config=model.config)
    at: dict[str, Any] = dict(layers=[layer], positions=[[ids.shape[1] - 1]])
    [x] = forward(
        model.parameters, ids, config=model.config,
        capture=[Capture.of(Site.RESID_PRE, **at)],
    ).activations.values()  # fmt: skip
    for directions, changes in ((unread, False), (read, True)):
        away = np.random.default_rng(0).normal(size=len(directions)) @ directions
        edit = patch(Site.RESID_PRE, np.asarray(x) + 3 * away, **at)
        moved = forward(model.parameters, ids, [edit], config=model.config)
        gap = np.abs(np.asarray(moved.logits - base.logits))[0, -1].max()
        assert (gap > 0.1) == changes
        assert changes or gap < 1e-4


def test_a_part_that_is_read_is_what_a_projection_leaves():
    random = np.random.default_rng(0)
    read = np.eye(6)[:4]
    basis = np.linalg.qr(random.normal(size=(6, 2)))[0].T
    part, unread = learning.read_part(basis, read)
    assert unread == pytest.approx((basis[:, 4:] ** 2).sum() / 2)
    np.testing.assert_allclose(part @ part.T, np.eye(2), atol=1e-9)
    # The same span as that of the projected vectors.
    kept = basis * np.array([1, 1, 1, 1, 0, 0])
    np.testing.assert_allclose(kept @ part.T @ part, kept, atol=1e-9)
    nothing, unread = learning.read_part(np.eye(6)[4:], read)
    assert unread == 1 and not nothing.any()


def test_class_means_span_what_classes_differ_in(wanted):
    model, layer, study, _ = wanted
    found = learning.class_mean_basis(
        study.batches, study.place, Where(layer=layer), rank=4
    )
    assert found.shape == (1, 4, model.config.width)
    assert not found[0, 3].any()  # four classes, three dimensions
    rows = learning.rows_of(len(study.place), 16)
    held = np.zeros((len(study.place), model.config.width))
    for which, batch in zip(rows, study.batches, strict=True):
        held[which] = np.asarray(batch.held[Site.RESID_PRE])[layer, :, 0]
    expected = metrics.class_means(held, study.place, name="place").vectors
    np.testing.assert_allclose(found[0, :3], expected, atol=1e-6)


def test_too_many_dimensions_are_refused(wanted):
    model, layer, study, _ = wanted
    with pytest.raises(ValueError, match="of 9999 dimensions of"):
        _learned(model, study, study.target, layer, rank=9999)
    with pytest.raises(ValueError, match="targets for 1"):
        learning.learn_subspace(
            model.parameters, study.batches, [study.target], Where(layer=layer),
            rank=1, config=model.config,
        )  # fmt: skip
