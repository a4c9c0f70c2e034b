"""Decodable and used, told apart: an unread flag, and what the last token knows."""

import pathlib
from typing import Any

import numpy as np
import pytest

from mcq_jax.experiments import Behaviour, DecideThenBind, run, token_kinds
from mcq_jax.experiments.decide_then_bind import interchange_tokens
from mcq_jax.experiments.pipeline import open_model
from mcq_jax.experiments.prompt_set import make_prompts
from mcq_jax.experiments.study import Study
from mcq_jax.interventions import Capture, Site, patch
from mcq_jax.model import forward
from mcq_jax.passes import prefill
from mcq_jax.prompts import batch_of
from mcq_jax.results import DecideThenBindFindings, DecodedAt, UsedAt
from mcq_jax.sweeps.sources import Sources
from tests.experiments.clued import open_planted
from tests.experiments.runs import (
    lab_of,
    page_with,
    planted_config,
    quiet,
    random_checkpoint,
)
from tests.experiments.test_routes import RANDOM

ROUNDING = 1e-4


def _found(out: pathlib.Path, **changes) -> DecideThenBindFindings:
    told_apart = DecideThenBind(
        place_form="other_letters", layer_step=1, control_draws=1
    )
    listed = (Behaviour(), told_apart)
    config = planted_config(
        out, experiments=listed, question_count=24, effect_questions=4, **changes
    )
    found, folder = run(config, quiet())
    page_with(found, folder, "bind")
    values = found.get(DecideThenBindFindings)
    assert values is not None and values.questions == 20
    return values


def _used(found: tuple[UsedAt, ...], tokens: str, layer: int) -> UsedAt:
    [one] = [one for one in found if (one.tokens, one.layer) == (tokens, layer)]
    return one


def _read(
    found: DecideThenBindFindings, tokens: str, layer: int, what: str
) -> DecodedAt:
    key = (tokens, layer, what)
    [one] = [d for d in found.decoded if (d.tokens, d.layer, d.what) == key]
    return one


@pytest.fixture(scope="module")
def flagged(tmp_path_factory):
    """A circuit by the line; the right option is marked, and nobody reads the mark."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        model = open_planted(monkeypatch, seed=0, has_flag=True)
        return model.truth, _found(tmp_path_factory.mktemp("flag"))


@pytest.mark.slow
def test_a_flag_that_nobody_reads_is_decodable_and_moves_nothing(flagged):
    truth, found = flagged
    [flag] = truth.playing("flag head")
    behind = max(n.layer for n in truth.playing("content gatherer")) + 1
    for layer in range(flag.layer + 1, truth.layers):
        about = _read(found, "option ends", layer, "correct")
        assert about.accuracy.mean > 0.95 and about.selectivity.low > 0.2
    # Once options are gathered, what stands there moves nothing.
    for layer in range(behind, truth.layers):
        used = _used(found.place, "option ends", layer)
        assert used.follows.mean == pytest.approx(0, abs=1e-9)
        assert used.stays.mean == 1
    # In front of the flag, and at labels, which come before their options.
    assert _read(found, "option ends", 0, "correct").accuracy.mean < 0.6
    for layer in range(truth.layers):
        assert _read(found, "labels", layer, "correct").accuracy.mean < 0.6
        assert abs(_used(found.place, "labels", layer).follows.mean) < 0.3


@pytest.mark.slow
def test_the_last_token_decides_the_place_and_then_binds_the_letter(flagged):
    truth, found = flagged
    decided = max(n.layer for n in truth.playing("agreeing block")) + 1
    bound = max(n.layer for n in truth.playing("correct-letter head")) + 1
    place = _used(found.place, "last token", decided)
    assert place.follows.mean == 1
    assert _read(found, "last token", decided, "place").accuracy.mean > 0.9
    # The base's own letter at that line: within one place no letter goes along yet.
    assert _used(found.letter, "last token", decided).follows.mean == 0
    if bound < truth.layers:
        assert _used(found.letter, "last token", bound).follows.mean == 1
        assert _read(found, "last token", bound, "letter").accuracy.mean > 0.9
    for one in (found.place, found.letter):
        assert _used(one, "last token", 0).stays.mean == 1
    assert _read(found, "last token", 0, "place").accuracy.mean < 0.5
    # Labels taken from the source are the source's letters, until they are read.
    assert _used(found.letter, "labels", 0).follows.mean == 1


@pytest.mark.slow
def test_rows_equal_whole_passes(tmp_path: pathlib.Path):
    """By hand: the source's tokens, captured and patched in `forward`."""
    checkpoint = random_checkpoint(RANDOM)
    asked = make_prompts(
        planted_config(tmp_path), open_model(planted_config(tmp_path))[0]
    ).prompts
    lengths = [len(prompt.ids) for prompt in asked]
    pair = [asked[int(np.argmin(lengths))], asked[int(np.argmax(lengths))]]
    assert len(pair[0].ids) < len(pair[1].ids)
    study = Study(
        prompts=tuple(pair), gold=np.zeros(2, int), question=np.arange(2),
        choosing=np.ones(2, bool), sources=Sources.of_pairs(1), chunks=(),
    )  # fmt: skip
    lab = lab_of(checkpoint, study, tmp_path)
    batch, suffix = batch_of(pair), token_kinds.suffix_of(pair)
    start = prefill(
        checkpoint.parameters, batch.ids, batch.lengths, config=RANDOM, suffix=suffix
    )
    for kind in token_kinds.KINDS:
        places = token_kinds.positions_of(pair, kind)
        assert places is not None
        behind = places[1] - batch.lengths[1] + suffix
        found = interchange_tokens(
            lab, start, np.array([0]), np.array([1]), places[:1], behind[None], 1
        )
        at: dict[str, Any] = dict(layers=[1])
        [value] = forward(
            checkpoint.parameters, batch.ids[1:], config=RANDOM,
            capture=[Capture.of(Site.RESID_PRE, positions=[places[1]], **at)],
        ).activations.values()  # fmt: skip
        edit = patch(Site.RESID_PRE, value, positions=[places[0]], **at)
        [whole] = forward(
            checkpoint.parameters, batch.ids[:1], [edit], config=RANDOM,
            capture=[Capture.of(Site.RESID_POST, layers=[RANDOM.layers - 1])],
        ).activations.values()  # fmt: skip
        last = int(batch.lengths[0]) - 1
        scale = np.abs(start.final).max()
        assert np.abs(found[0] - whole[0, 0, last]).max() <= ROUNDING * scale
        assert np.abs(found[0] - start.final[0]).max() > 100 * ROUNDING * scale


def test_forms_that_cannot_tell_are_refused():
    with pytest.raises(ValueError, match="'shuffled' of the place"):
        DecideThenBind(place_form="shuffled")
    with pytest.raises(ValueError, match="'permuted' of the letter"):
        DecideThenBind(letter_form="permuted")
