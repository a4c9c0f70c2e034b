"""Routes: shares that follow from the construction, and rows against whole passes."""

import dataclasses
import pathlib

import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax.experiments import (
    Behaviour,
    HeadClasses,
    Mutated,
    NodeEffects,
    Routes,
    route_edits,
    run,
)
from mcq_jax.experiments.pipeline import open_model
from mcq_jax.experiments.prompt_set import make_prompts
from mcq_jax.interventions import Capture, Site, patch
from mcq_jax.model import forward, read_by
from mcq_jax.passes import prefill, resume_edited
from mcq_jax.planted import asking
from mcq_jax.prompts import batch_of, span_positions
from mcq_jax.results import RoutesFindings, RoutesFound
from tests import tiny
from tests.experiments.runs import page_with, planted_config, quiet, random_checkpoint

ROUNDING = 1e-4


@pytest.fixture(scope="module")
def planted(tmp_path_factory) -> tuple[RoutesFindings, str]:
    """The routes of a planted circuit that goes by the line."""
    routes = Routes(windows=7, sets=("ordered_letters", "question_removed"))
    listed = (Behaviour(), NodeEffects(), HeadClasses(), routes)
    config = planted_config(
        tmp_path_factory.mktemp("routes"), experiments=listed,
        other_prompts=(
            Mutated(mutation="ordered_letters"), Mutated(mutation="question_removed"),
        ),
    )  # fmt: skip
    found, folder = run(config, quiet())
    # Tables of the other prompts are not taken for those of the main ones, made anew.
    assert not found.stale
    values = found.get(RoutesFindings)
    assert values is not None
    return values, page_with(found, folder, "routes")


def _left(found: RoutesFindings, tokens: str, first: int, last: int) -> list[float]:
    return [
        cut.left.mean
        for cut in found.cuts
        if (cut.tokens, cut.first_layer, cut.last_layer) == (tokens, first, last)
    ]


def _along(
    found: RoutesFound, who: str, tokens: str, parts: str
) -> tuple[float, float]:
    """What goes along with another order, and with placebo sources."""
    for swap in found.swaps:
        if (swap.who, swap.tokens, swap.parts) == (who, tokens, parts):
            assert swap.rotation is not None and swap.placebo is not None
            return swap.rotation.mean, swap.placebo.mean
    raise AssertionError((who, tokens, parts))


@pytest.mark.slow
def test_a_planted_circuit_needs_the_ways_that_were_built(planted):
    """Gatherers read options, correct-letter heads labels, the reader the question."""
    found, _ = planted
    for tokens in route_edits.CUT_TOKENS:
        assert _left(found, tokens, 0, 6) == pytest.approx([0, 0], abs=1e-4)
    by_layer = {
        tokens: [_left(found, tokens, layer, layer)[0] for layer in range(7)]
        for tokens in route_edits.CUT_TOKENS
    }
    # No head of the story looks from the last token at labels before the heads do that
    # match them, nor at options but where they are gathered, one layer earlier.
    [reading] = np.flatnonzero(np.abs(by_layer["all others"]) < 1e-4)
    [gathering] = np.flatnonzero(np.abs(by_layer["option ends"]) < 1e-4)
    matching = int(np.argmin(by_layer["labels"]))
    assert reading < gathering < matching
    assert by_layer["labels"][matching] < 0.2
    assert by_layer["labels"][:matching] == pytest.approx([1] * matching, abs=1e-4)


@pytest.mark.slow
def test_what_makes_the_difference_stands_at_options_and_not_at_labels(planted):
    """Labels are the same in every order; an option's word is what is matched."""
    found, _ = planted
    for parts in ("keys", "values", "keys and values"):
        along = _along(found, "every head", "labels", parts)
        assert along == pytest.approx((0, 0), abs=1e-4)
    for parts, share in (("keys", 1), ("values", 0), ("keys and values", 1)):
        along, _ = _along(found, "every head", "option ends", parts)
        assert along == pytest.approx(share, abs=1e-4)
    along, placebo = _along(found, "correct-letter heads", "labels", "queries")
    assert along > 0.9
    # Another question's query with the same gold asks for the same line.
    assert placebo == pytest.approx(0, abs=1e-4)
    along, _ = _along(found, "random heads", "labels", "queries and keys and values")
    assert abs(along) < 0.1


@pytest.mark.slow
def test_routes_are_the_same_with_other_labels(planted):
    """The circuit goes by the line, whatever its label."""
    found, page = planted
    [other] = found.others
    assert found.closed == ("question_removed",) and "No routes of question" in page
    assert (found.prompts, other.prompts) == ("main", "ordered_letters")
    for who, tokens in (("every head", "option ends"), ("every head", "labels")):
        along, _ = _along(other, who, tokens, "keys and values")
        own, _ = _along(found, who, tokens, "keys and values")
        assert along == pytest.approx(own, abs=1e-4)
    assert "correct-letter heads" in page and "By label set" in page


def test_labels_that_change_with_the_order_are_refused(tmp_path: pathlib.Path):
    config = planted_config(
        tmp_path, experiments=(Behaviour(), Routes(sets=("permuted",))),
        other_prompts=(Mutated(mutation="permuted"),),
    )  # fmt: skip
    with pytest.raises(ValueError, match="the letter would move with the line"):
        run(config, quiet())


RANDOM = dataclasses.replace(
    tiny.CASES["grouped heads, biases, partial rotation"],
    vocabulary=len(asking.VOCABULARY),
    context=64,
)


@pytest.mark.slow
def test_rows_equal_whole_passes(tmp_path: pathlib.Path):
    """By hand: unrotated keys, captured and patched in `forward`."""
    checkpoint = random_checkpoint(RANDOM)
    config, parameters = checkpoint.config, checkpoint.parameters
    prompts = make_prompts(
        planted_config(tmp_path), open_model(planted_config(tmp_path))[0]
    )
    lengths = [len(prompt.ids) for prompt in prompts.prompts]
    pair = [
        prompts.prompts[int(np.argmin(lengths))],
        prompts.prompts[int(np.argmax(lengths))],
    ]
    assert len(pair[0].ids) < len(pair[1].ids)  # keys turn by a distance
    batch = batch_of(pair)
    last, keys = int(batch.lengths[0]) - 1, batch.ids.shape[1]
    start = prefill(
        parameters, batch.ids, batch.lengths, config=config, sites=(Site.Q,)
    )
    to, taken = span_positions(pair, "label")
    heads = np.zeros((1, config.layers, config.kv_heads, config.group), bool)
    heads[0, :, 0, 0] = True
    one = np.ones((1, len(to)), bool)
    moved = route_edits.Swaps(
        of=np.array([0]), source=np.array([1]), to=to[None], taken=taken[None],
        keys=one, values=one, queries=np.array([True]), heads=heads,
        answer=np.array([last]),
    )  # fmt: skip
    edits = moved.edits(start, config)
    found = resume_edited(parameters, start, edits, of=np.array([0]), config=config)

    other = forward(
        parameters, batch.ids[1:], config=config,
        capture=[Capture.of(site, positions=[taken]) for site in (Site.K, Site.V)]
        + [Capture.of(Site.Q, positions=[[int(batch.lengths[1]) - 1]])],
    ).activations  # fmt: skip
    readers = np.zeros((keys, config.kv_heads, config.group), bool)
    readers[last, 0, 0] = True
    layers = range(config.layers)
    by_hand = [
        read_by(patch(site, other[site], layers=layers, positions=[to]), readers)
        for site in (Site.K, Site.V)
    ]
    by_hand.append(
        patch(Site.Q, other[Site.Q], layers=layers, positions=[[last]], heads=[0])
    )
    whole = forward(
        parameters, batch.ids[:1], by_hand, config=config,
        capture=[Capture.of(Site.RESID_POST, layers=[config.layers - 1])],
    ).activations[Site.RESID_POST]  # fmt: skip
    scale = np.abs(start.final).max()
    assert np.abs(found.final[0] - whole[0, 0, last]).max() <= ROUNDING * scale
    assert np.abs(found.final[0] - start.final[0]).max() > 100 * ROUNDING * scale

    for renormalised in (True, False):
        tokens = route_edits.tokens_of(pair[0], keys)[route_edits.LABELS]
        mask = np.arange(config.layers) == 1
        cuts = route_edits.Cuts(
            tokens=tokens[None], layers=mask[None],
            renormalised=np.array([renormalised]), answer=np.array([last]),
        )  # fmt: skip
        found = resume_edited(
            parameters, start, cuts.edits, of=np.array([0]), config=config
        )
        seen = forward(
            parameters, batch.ids[:1], config=config,
            capture=[Capture.of(Site.PATTERN, layers=[1], positions=[[last]])],
        ).activations[Site.PATTERN]  # fmt: skip
        pattern = jnp.where(tokens, 0.0, seen)
        if renormalised:
            pattern = pattern / pattern.sum(-1, keepdims=True)
        cut = patch(Site.PATTERN, pattern, layers=[1], positions=[[last]])
        whole = forward(
            parameters, batch.ids[:1], [cut], config=config,
            capture=[Capture.of(Site.RESID_POST, layers=[config.layers - 1])],
        ).activations[Site.RESID_POST]  # fmt: skip
        assert np.abs(found.final[0] - whole[0, 0, last]).max() <= ROUNDING * scale


def test_lines_that_do_not_correspond_are_passed_over(tmp_path: pathlib.Path):
    """An option of two tokens has an end of its own; glued to the line break, none."""
    config = planted_config(tmp_path)
    first = make_prompts(config, open_model(config)[0]).prompts[0]
    ends = route_edits.aligned(first, first, route_edits.ENDS)
    assert ends is not None and ends[0] == ends[1]
    # Each option is one word; all lines but the last end with a break, or all do.
    assert len(ends[0]) in (2 * 4, 2 * 4 - 1)
    glued = dataclasses.replace(
        first, spans=tuple(s for s in first.spans if s.kind != "line_end")
    )
    assert route_edits.aligned(first, glued, route_edits.ENDS) is None
    assert route_edits.aligned(first, glued, route_edits.LABELS) is not None
