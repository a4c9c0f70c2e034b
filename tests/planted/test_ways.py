"""Circuits whose content goes other ways: they answer, and the ways are the planted."""

from collections.abc import Iterable

import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax.interventions import Capture, Edge, Site, all_nodes, patch
from mcq_jax.passes import prefill, read_answers
from mcq_jax.paths import WIRED_SITES, Wiring, run_wired
from mcq_jax.planted import (
    Agreement,
    asking,
    plant,
    plant_line_ends,
    plant_past_queries,
)
from mcq_jax.planted.ways import flag_direction
from mcq_jax.prompts import render, rotations, tokenise
from tests.planted.asked import ROWS, Asked, ask, net

TOLERANCE = 5e-5
SHARES = (0.0, 0.3, 0.7, 1.0)
# Attention at the lowest sharpness that is drawn, e^3 / (e^3 + 3), rounded down.
LEAST = 0.86


def _asked(planted) -> Asked:
    questions = planted.questions(ROWS // planted.choices)
    return ask(planted, [r for question in questions for r in rotations(question)])


def _assert_answers_as_planned(planted, asked: Asked) -> None:
    logits = asked.logits()
    np.testing.assert_array_equal(logits.argmax(-1), asked.gold)
    expected = np.stack([planted.truth.answer_logits(f) for f in asked.facts])
    atol = TOLERANCE * np.abs(expected).max()
    np.testing.assert_allclose(logits, expected, atol=atol, rtol=0)


def _also(*cases, more: Iterable):
    """Cases, and more of their kind that are exhaustive."""
    rest = (pytest.param(*case, marks=pytest.mark.exhaustive) for case in more)
    return [*cases, *rest]


@pytest.mark.parametrize(
    ("share", "seed"),
    _also(
        *((share, 2) for share in SHARES),
        more=((SHARES[seed % 4], seed) for seed in range(3, 23)),
    ),
)
def test_the_answer_passes_the_correct_letter_heads_by_the_share_planned(
    share: float, seed: int
):
    """Their output from another order of the options takes the rest with it.

    They look at the right label whatever they write, and be it nothing.
    """
    planted = plant_past_queries(seed, share=share)
    asked = _asked(planted)
    _assert_answers_as_planned(planted, asked)
    outputs = asked.node_outputs()[Site.Z]
    source = np.roll(outputs, 1, axis=1)  # another rotation, mostly
    heads = planted.truth.playing("correct-letter head")
    edits = []
    for node in heads:
        is_head = np.arange(planted.config.heads) == node.head
        edits.append(
            patch(
                Site.Z, source[node.layer][None], layers=[node.layer],
                positions=asked.last,
                weight=is_head.astype(np.float32)[None, None, None, :, None, None],
            )
        )  # fmt: skip
    is_other = asked.gold != np.roll(asked.gold, 1)
    clean = net(asked.logits(), asked.gold)
    others = net(np.roll(asked.logits(), 1, axis=0), asked.gold)
    patched = net(asked.logits(*edits), asked.gold)
    mediated = (clean - patched)[is_other].sum() / (clean - others)[is_other].sum()
    assert mediated == pytest.approx(1 - share, abs=0.02)
    _, seen = asked.run(
        capture=[Capture(site=Site.PATTERN, positions=jnp.asarray(asked.last))]
    )
    rows = np.arange(ROWS)
    is_right = asked.ids == asked.answer_ids[rows, asked.gold][:, None]
    for node in heads:
        looks = np.asarray(seen[Site.PATTERN])[node.layer, rows, node.head, 0, 0]
        assert (looks * is_right).sum(axis=-1).min() > LEAST


@pytest.mark.parametrize(
    ("agreement", "seed"),
    _also(
        *((agreement, 3) for agreement in Agreement),
        more=((list(Agreement)[seed % 2], seed) for seed in range(4, 24)),
    ),
)
def test_gatherers_read_line_breaks_and_nobody_reads_the_flag(
    agreement: Agreement, seed: int
):
    planted = plant_line_ends(seed, agreement=agreement)
    asked = _asked(planted)
    _assert_answers_as_planned(planted, asked)
    line_break = planted.tokenizer.encode("\n").ids[-1]
    is_end = np.cumsum(asked.ids == line_break, axis=1) > 1
    is_end &= asked.ids == line_break
    is_end &= np.arange(asked.ids.shape[1]) < asked.last
    assert (is_end.sum(axis=1) == planted.choices).all()
    gatherers = planted.truth.playing("content gatherer")
    _, seen = asked.run(
        capture=[
            Capture(site=Site.PATTERN, positions=jnp.asarray(asked.last)),
            Capture(site=Site.RESID_POST),
        ]
    )
    rows = np.arange(len(asked.facts))
    for node in gatherers:
        at_ends = np.asarray(seen[Site.PATTERN])[node.layer, rows, node.head, 0, 0]
        line = [np.flatnonzero(is_end[r])[f.gold] for r, f in enumerate(asked.facts)]
        assert at_ends[rows, line] == pytest.approx(1, abs=1e-6)

    flag = flag_direction(seed)
    resid = np.asarray(seen[Site.RESID_POST])  # [layer, row, position, width]
    [block] = planted.truth.playing("flagging block")
    probe = resid[block.layer][rows] @ flag
    expected = np.zeros(probe.shape)
    for row, fact in enumerate(asked.facts):
        expected[row, np.flatnonzero(is_end[row])[fact.gold]] = 1
    np.testing.assert_allclose(probe * is_end[rows], expected, atol=1e-4)

    # The flag of each line interchanged with that of another line of another order.
    moved = np.zeros_like(resid[block.layer])
    for row in rows:
        ends = np.flatnonzero(is_end[row])
        moved[row, ends] = np.outer(np.roll(expected[row, ends], 1), flag)
        moved[row, ends] -= np.outer(expected[row, ends], flag)
    swapped = resid[block.layer] + moved
    edit = patch(Site.RESID_POST, swapped[None], layers=[block.layer])
    change = np.abs(asked.logits(edit) - asked.logits()).max()
    assert change <= TOLERANCE * np.abs(asked.logits()).max()


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", range(20))
def test_more_of_them_answer_as_planned(seed: int):
    choices = 3 + seed % 3
    past = plant_past_queries(seed, share=SHARES[seed % 4], choices=choices)
    _assert_answers_as_planned(past, _asked(past))
    ends = plant_line_ends(seed, choices=choices)
    _assert_answers_as_planned(ends, _asked(ends))


def test_a_share_beyond_one_is_refused():
    with pytest.raises(ValueError, match="from 0 to 1"):
        plant_past_queries(share=1.5)


@pytest.mark.few
@pytest.mark.parametrize(
    ("agreement", "seed"),
    _also(
        *((agreement, 4) for agreement in Agreement),
        more=((list(Agreement)[seed % 2], seed) for seed in range(5, 25)),
    ),
)
def test_of_two_routes_either_is_enough_or_both_are_needed(
    agreement: Agreement, seed: int
):
    """In OR, noising one edge shows nothing and denoising it all; in AND the reverse.

    In the source the word asked for stands on no line, so that no route finds one.
    """
    planted = plant(seed, agreement=agreement)
    question = planted.questions(1)[0]
    prompt = tokenise(render(question, planted.template), planted.tokenizer)
    words = [w for w in asking.OPTION_WORDS if w not in question.options]
    asked, missing = (
        planted.tokenizer.encode(word).ids[-1]
        for word in (question.options[question.gold], words[0])
    )
    ids = np.stack([prompt.ids, prompt.ids])
    ids[1, np.flatnonzero(ids[1] == asked)[0]] = missing
    lengths = np.full(2, ids.shape[1])
    start = prefill(
        planted.parameters, ids, lengths, config=planted.config, sites=WIRED_SITES
    )
    wiring = Wiring(all_nodes(planted.config.layers, planted.config.heads), ())
    [block] = planted.truth.playing("agreeing block")
    edges = [
        wiring.mask([Edge(head, block, Site.MLP_IN)])
        for head in planted.truth.playing("content gatherer")
    ]
    brings = np.stack([*edges, edges[0] | edges[1]])

    def nets(final) -> np.ndarray:
        answers = np.resize(prompt.answer_ids, (len(final), planted.choices))
        logits, _ = read_answers(
            planted.parameters.unembedding, final, answers, config=planted.config,
            full_vocabulary=False,
        )  # fmt: skip
        return net(np.asarray(logits), np.full(len(final), prompt.gold))

    clean, source = nets(start.final[:, None])[:, 0]
    noised, denoised = (
        nets(
            run_wired(
                planted.parameters, start, wiring, np.ones_like(brings), brings=brings,
                base=np.array([base]), other=np.array([1 - base]),
                kinds=np.full((1, ids.shape[1]), -1), config=planted.config,
            )
        )[0]
        for base in (0, 1)
    )  # fmt: skip
    taken = (clean - noised) / (clean - source)
    brought = (denoised - source) / (clean - source)
    alone = (0, 1) if agreement is Agreement.OR else (1, 0)
    assert taken == pytest.approx([alone[0]] * 2 + [1], abs=1e-3)
    assert brought == pytest.approx([alone[1]] * 2 + [1], abs=1e-3)
