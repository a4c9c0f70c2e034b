"""Effects from the resumed pass equal those of full forwards with the same patches."""

import dataclasses
import functools
import pathlib

import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax import sweeps
from mcq_jax.checkpoints import Checkpoint
from mcq_jax.experiments import node_effects
from mcq_jax.experiments.pipeline import open_model
from mcq_jax.experiments.prompt_set import make_prompts
from mcq_jax.experiments.study import Study, study_questions
from mcq_jax.interventions import Site, patch
from mcq_jax.model import Norm, forward
from mcq_jax.planted import asking
from mcq_jax.sweeps import chunk_work, forecasts
from mcq_jax.sweeps.sources import choose_sources
from tests import tiny
from tests.experiments.runs import (
    lab_of,
    nets,
    planted_config,
    random_checkpoint,
)

# As a share of the logit scale, in float32.
ROUNDING = 1e-5
# Longer than every prompt, so that all full forwards share one program.
WIDTH = 32

RANDOM = dataclasses.replace(
    tiny.CASES["grouped heads, biases, partial rotation"],
    vocabulary=len(asking.VOCABULARY),
    context=64,
)


def _planted(folder: pathlib.Path) -> Checkpoint:
    return open_model(planted_config(folder, variant="mixed", circuit=3))[0]


def _random(folder: pathlib.Path) -> Checkpoint:
    assert RANDOM.norm is Norm.RMS and RANDOM.rotary_width and RANDOM.group > 1
    return random_checkpoint(RANDOM)


@pytest.mark.parametrize("model", [_planted, _random])
def test_total_effects_equal_those_of_full_forwards(model, tmp_path: pathlib.Path):
    checkpoint = model(tmp_path)
    study = _study(checkpoint, tmp_path)
    assert len({len(prompt.ids) for prompt in study.prompts}) > 1  # padding differs
    lab = lab_of(checkpoint, study, tmp_path)
    bank, effects = node_effects.bank_of(lab), node_effects.effects_of(lab)
    scale = np.ptp(bank.answer_logits, axis=1).max()
    for index in (0, len(study.gold) - 1):
        gold = study.gold[[index]]
        clean = _logits(checkpoint, study, index)[None]
        for kind, source in enumerate(study.sources.index[index]):
            patched = _patched_logits(checkpoint, study, index, int(source))
            expected = nets(clean, gold) - nets(patched[None], gold)
            found = np.asarray(effects.total)[index, kind]
            assert np.abs(expected).max() > 0.01 * scale
            np.testing.assert_allclose(
                found, expected[0], rtol=0, atol=ROUNDING * scale, err_msg=str(kind)
            )


def test_where_memory_is_short_rows_advance_in_pieces(tmp_path, monkeypatch):
    # As if a row took a gigabyte; what a chunk really takes is test_forecasts' matter.
    monkeypatch.setattr(forecasts._Chunk, "peak_bytes", lambda _, rows: 1e9 * rows)
    checkpoint = random_checkpoint(RANDOM)
    study = _study(checkpoint, tmp_path)
    asked: list[int | None] = []
    resume = chunk_work.resume

    def seen(*arguments, rows_at_once, **options):
        asked.append(rows_at_once)
        return resume(*arguments, rows_at_once=rows_at_once, **options)

    monkeypatch.setattr(chunk_work, "resume", seen)
    runs = []
    for name, free in (("whole", None), ("pieces", 2e10)):
        is_short = free is not None
        monkeypatch.setattr(
            forecasts, "_may_not_fit", lambda *_, short=is_short, **__: short
        )
        monkeypatch.setattr(forecasts, "free_bytes", lambda free=free: free)
        lab = lab_of(checkpoint, study, tmp_path / name)
        runs.append(node_effects.patched_of(lab))
    rows = RANDOM.layers * RANDOM.nodes
    assert asked[0] is None and isinstance(asked[-1], int) and asked[-1] < rows
    scale = np.abs(runs[0].patched_logits).max()
    np.testing.assert_allclose(
        *(run.patched_logits for run in runs), rtol=0, atol=ROUNDING * scale
    )


def test_a_sweep_that_goes_on_is_noted_as_its_own_table_alone(tmp_path: pathlib.Path):
    """Its table was there before, unfinished, and so was another of the same name."""
    checkpoint = random_checkpoint(RANDOM)
    study = _study(checkpoint, tmp_path)
    lab = lab_of(checkpoint, study, tmp_path)
    plans = [sweeps.every_layer(s, RANDOM) for s in (Site.ATTN_OUT, Site.MLP_OUT)]
    _, key = [lab.sweep("some", plan, study.sources).key for plan in plans]
    (tmp_path / f"tables/some/{key}/part-00001.parquet").unlink()
    with lab.tables_opened() as opened:
        lab.sweep("some", plans[1], study.sources)
    assert opened == {"some": {key}}


def test_a_bank_gives_back_the_prompts_own_logits(tmp_path: pathlib.Path):
    checkpoint = random_checkpoint(RANDOM)
    study = _study(checkpoint, tmp_path)
    bank = node_effects.bank_of(lab_of(checkpoint, study, tmp_path))
    scale = np.abs(bank.answer_logits).max()
    assert bank.conservation_error < ROUNDING * scale
    for index in (0, 7):
        expected = _logits(checkpoint, study, index)
        np.testing.assert_allclose(
            bank.answer_logits[index], expected, rtol=0, atol=ROUNDING * scale
        )


def _study(checkpoint: Checkpoint, folder: pathlib.Path) -> Study:
    config = planted_config(folder, question_count=4, effect_questions=4)
    asked = make_prompts(config, checkpoint)
    names = list(dict.fromkeys(asked.question.tolist()))
    choosing = np.isin(asked.question, names[:2])
    sources = choose_sources(asked.question, asked.gold, choosing, seed=0)
    return study_questions(asked, names, choosing, sources)


def _padded(study: Study, index: int) -> tuple[jnp.ndarray, int]:
    ids = study.prompts[index].ids
    return jnp.asarray(np.pad(ids, (0, WIDTH - len(ids)))[None]), len(ids) - 1


def _logits(checkpoint: Checkpoint, study: Study, index: int) -> np.ndarray:
    tokens, last = _padded(study, index)
    logits = forward(checkpoint.parameters, tokens, config=checkpoint.config).logits
    return np.asarray(logits)[0, last, study.prompts[index].answer_ids]


def _patched_logits(
    checkpoint: Checkpoint, study: Study, index: int, source: int
) -> np.ndarray:  # [layer, node, choice]
    """Every node in a row of its own, patched at the last token by a full forward."""
    config, parameters = checkpoint.config, checkpoint.parameters
    tokens, end = _padded(study, source)
    sites = (Site.Z, Site.MLP_OUT)
    given = forward(parameters, tokens, config=config, capture=sites).activations
    tokens, last = _padded(study, index)
    rows = config.layers * config.nodes
    mask = np.eye(rows, dtype=np.float32).reshape(rows, config.layers, config.nodes)
    mask = mask.transpose(1, 0, 2)[:, :, None]  # [layer, row, position, node]
    heads = mask[..., :-1].reshape(*mask.shape[:3], config.kv_heads, config.group, 1)
    at = functools.partial(patch, layers=range(config.layers), positions=[last])
    edits = [
        at(Site.Z, given[Site.Z][:, :, [end]], weight=heads),
        at(Site.MLP_OUT, given[Site.MLP_OUT][:, :, [end]], weight=mask[..., -1:]),
    ]
    repeated = jnp.broadcast_to(tokens, (rows, WIDTH))
    logits = np.asarray(forward(parameters, repeated, edits, config=config).logits)
    answers = logits[:, last][:, study.prompts[index].answer_ids]
    return answers.reshape(config.layers, config.nodes, -1)
