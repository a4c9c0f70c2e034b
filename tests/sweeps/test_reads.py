"""Metrics that read activations: by resumed passes what full passes show."""

import dataclasses
import functools

import numpy as np
import pytest

from mcq_jax.interventions import Capture, Site
from mcq_jax.prompts import TokenisedPrompt
from mcq_jax.results import RunFolder
from mcq_jax.sweeps import (
    Ablation,
    Direction,
    Metric,
    Sources,
    every_node,
    every_position,
    forecast,
    net_effect,
    sweep,
)
from tests import tiny

CONFIG = tiny.CASES["grouped heads, biases, partial rotation"]
LENGTHS = (6, 5, 6, 5)
SOURCES = Sources(
    kinds=("other", "any"), index=np.array([[2, 1], [3, 2], [0, 3], [1, 0]])
)


def _prompt(index: int) -> TokenisedPrompt:
    generator = np.random.default_rng(index)
    return TokenisedPrompt(
        ids=generator.integers(CONFIG.vocabulary, size=LENGTHS[index]).astype(np.int32),
        spans=(),
        label_positions=np.array([0, 2, 3]) + index % 2,
        label_ids=np.full(3, -1),
        answer_ids=np.array([2, 7, 11], np.int32),
        gold=index % 3,
        question=f"question {index // 2}",
        rotation=index % 2,
    )


PROMPTS = [_prompt(index) for index in range(4)]
LABELS = np.stack([p.label_positions - len(p.ids) for p in PROMPTS])


def label_scores(outcome):
    """What one head's scores of the labels lose."""
    before, after = (a.seen[Site.SCORES] for a in (outcome.unpatched, outcome.patched))
    return (before - after)[0, 0, 0]  # its layer, head, and query


def attention(outcome):
    """A number of several reads: another layer's pattern, and the stream behind it."""
    seen = outcome.patched.seen
    return seen[Site.PATTERN].sum() + seen[Site.RESID_POST][0].mean()


READS = {
    "scores": Metric(
        function=label_scores,
        reads=(
            Capture.of(Site.SCORES, layers=[1], heads=[4], positions=[-1], keys=LABELS),
        ),
    ),
    "attention": Metric(
        function=attention,
        reads=(
            Capture.of(
                Site.PATTERN, layers=[1, 2], heads=[0], positions=[-2], keys=[-3, -4]
            ),
            Capture.of(Site.RESID_POST, layers=[2], positions=[-1]),
        ),
    ),
    "net": net_effect,
}
PLANS = {
    "nodes": every_node(CONFIG).take(np.arange(0, 27, 4)),
    "the residual": every_position(Site.RESID_PRE, CONFIG, tokens=3),
}


@functools.cache
def _parameters():
    return tiny.random_parameters(CONFIG)


def _sweep(plan, sources: Sources | Ablation = SOURCES, **options):
    options = {"metrics": READS, "full_vocabulary": False, **options}
    return sweep(_parameters(), PROMPTS, plan, sources, config=CONFIG, **options).values


@pytest.mark.few
@pytest.mark.parametrize(
    ("name", "direction"),
    [
        ("the residual", Direction.NOISE),
        ("nodes", Direction.DENOISE),
        ("nodes", None),  # means in place of a prompt
    ],
)
def test_what_metrics_read_is_what_full_passes_show(name: str, direction):
    options = {} if direction is None else {"direction": direction}
    sources = Ablation.MEAN if direction is None else SOURCES
    found = _sweep(PLANS[name], sources, prompts_at_once=2, **options)
    expected = _sweep(PLANS[name], sources, by_full_passes=True, **options)
    assert found["scores"].shape[3:] == (3,)
    for column, value in expected.items():
        np.testing.assert_allclose(
            found[column], value, rtol=0, atol=1e-4, err_msg=column
        )
        assert np.abs(value).max() > 1e-2
    # What comes later moves no earlier score; and what a row patches moves some.
    late = np.asarray(PLANS[name].labels["layer"]) >= 2
    np.testing.assert_allclose(found["scores"][:, :, late], 0, atol=1e-4)


@pytest.mark.slow
def test_each_metric_reads_its_own_captures_beside_others():
    """Full passes share what hands captures out, and would be as wrong."""
    together = _sweep(PLANS["nodes"])
    alone = _sweep(PLANS["nodes"], metrics={"attention": READS["attention"]})
    np.testing.assert_allclose(
        together["attention"], alone["attention"], rtol=0, atol=1e-4
    )
    assert np.abs(alone["attention"]).max() > 1e-2


@pytest.mark.slow
def test_a_table_is_known_by_what_its_metrics_read(tmp_path):
    folder = RunFolder.open(tmp_path, {"identity": {}})
    plan = PLANS["nodes"]
    reads = READS["scores"].reads[0]
    metrics = {
        "as it is": READS["scores"],
        "another head": dataclasses.replace(
            READS["scores"], reads=(dataclasses.replace(reads, units=reads.units - 4),)
        ),
        "another version": dataclasses.replace(READS["scores"], version=2),
    }
    for metric in metrics.values():
        found = _sweep(plan, metrics={"scores": metric}, folder=folder)
        expected = _sweep(plan, metrics={"scores": metric})
        np.testing.assert_allclose(
            found["scores"], expected["scores"], rtol=0, atol=1e-4
        )
    assert len(list((tmp_path / "tables/sweep").iterdir())) == 3


@pytest.mark.slow
def test_the_forecast_counts_what_is_read():
    narrow = (Capture.of(Site.ATTN_SCALE, positions=[-1, -2, -3]),)
    streams = (Site.RESID_PRE, Site.ATTN_IN, Site.ATTN_OUT, Site.RESID_MID, Site.MLP_IN)
    wide = tuple(
        Capture.of(site, positions=[-1, -2, -3]) for site in (*streams, Site.Q)
    )
    plan = PLANS["nodes"]
    none, few, many = (
        forecast(
            _parameters(), PROMPTS, plan, SOURCES, config=CONFIG,
            full_vocabulary=False,
            metrics={"seen": Metric(function=attention, reads=reads)},
        )
        for reads in ((), narrow, narrow + wide)
    )  # fmt: skip
    runs, read = 4 * 2 * len(plan.births), 5 * CONFIG.width + CONFIG.heads * 6
    # Of three layers and tokens, in float32; the rest may take its most at other times.
    assert many.peak_bytes - few.peak_bytes > 4 * runs * 9 * read / 2
    assert many.flops == few.flops > none.flops  # rows run over three tokens


def test_reads_that_cannot_be_are_refused():
    def metric(*given, **named):
        return Metric(function=attention, reads=(Capture.of(*given, **named),))

    with pytest.raises(ValueError, match="at all positions"):
        metric(Site.Z)
    with pytest.raises(ValueError, match="at all keys"):
        metric(Site.SCORES, positions=[-1])
    with pytest.raises(ValueError, match="subtract the prompts' lengths"):
        metric(Site.SCORES, positions=[-1], keys=[3])
    with pytest.raises(ValueError, match="name a site once"):
        one = Capture.of(Site.Z, positions=[-1])
        Metric(function=attention, reads=(one, one))
    for match, bad in {
        "prompt 1, which has 5 tokens": metric(Site.Z, positions=[-6]),
        "of 3 prompts, and 4 are asked": metric(Site.Z, positions=LABELS[:3]),
        "heads of a capture of Site.Z": metric(Site.Z, positions=[-1], heads=[9]),
        "is in no layer": metric(Site.LOGITS, positions=[-1]),
    }.items():
        with pytest.raises(ValueError, match=match):
            _sweep(PLANS["nodes"], metrics={"bad": bad})
