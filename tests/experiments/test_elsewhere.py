"""Attention to enumerators: planted heads, a plain pattern, chance, and bad files."""

import json
import pathlib

import numpy as np
import pytest

from mcq_jax import metrics, passes, planted, prompts
from mcq_jax.experiments import Behaviour, Elsewhere, HeadClasses, NodeEffects, run
from mcq_jax.interventions import Site
from mcq_jax.model import forward
from mcq_jax.planted import asking, enumerations
from mcq_jax.report import sections
from mcq_jax.results import ElsewhereFindings, KindElsewhere
from tests import tiny
from tests.experiments.runs import page_with, planted_config, quiet
from tests.report import examples


@pytest.mark.slow
def test_what_planted_heads_look_at_is_known(tmp_path: pathlib.Path):
    listed = (
        Behaviour(), NodeEffects(), HeadClasses(),
        Elsewhere(texts="planted", texts_per_kind=30, draws=200),
    )  # fmt: skip
    found, folder = run(planted_config(tmp_path, experiments=listed), quiet())
    values = found.get(ElsewhereFindings)
    assert values is not None and [kind.texts for kind in values.kinds] == [30, 30]
    model = planted.plant(0)
    [counter] = model.truth.playing("counter head")
    [binder] = model.truth.playing("binder head")
    texts = prompts.tokenise_texts(enumerations.texts(30, seed=1), model.tokenizer)
    for kind, shown in zip(values.kinds, enumerations.KINDS, strict=True):
        mine = [text for text in texts if text.kind == shown]
        excess = np.array(kind.excess)
        by_counter, by_binder = _expected(mine)
        assert excess[counter.layer, counter.head] == pytest.approx(by_counter, 1e-4)
        assert excess[binder.layer, binder.head] == pytest.approx(by_binder, 1e-4)
        told = {h.name: h for h in values.heads if h.kind == shown}
        assert told[str(counter)].p_value == told[str(binder)].p_value == 1 / 201
        assert told[str(counter)].percentile == 1
    assert 'class="token listed"' in page_with(found, folder, "elsewhere")


def _expected(texts) -> tuple[float, float]:
    """The counter looks at BOS and all labels alike, a word on a line at its label."""
    counter, binder = [], []
    for text in texts:
        is_label = np.isin(np.arange(len(text.ids)), text.enumerators)
        readers = np.flatnonzero(text.readers())
        by_count = [is_label[:q].sum() / (1 + is_label[: q + 1].sum()) for q in readers]
        # Behind each label ". word is": only the word has the line's number to match.
        by_word = [piece in asking.OPTION_WORDS for piece in text.pieces]
        counter.append(np.mean(by_count))
        binder.append(np.mean([by_word[q] for q in readers]))
    return float(np.mean(counter)), float(np.mean(binder))


@pytest.mark.parametrize("case", ["grouped heads, biases, partial rotation"])
def test_attention_received_is_that_of_a_plain_forward(case: str):
    config = tiny.CASES[case]
    parameters = tiny.random_parameters(config)
    tokens = np.asarray(tiny.random_tokens(config, 2, 9))
    readers = np.zeros((2, 9), bool)
    readers[0, 3:7] = readers[1, 5:9] = True
    found = passes.attention_received(parameters, tokens, readers, config=config)
    pattern = np.asarray(
        forward(parameters, tokens, config=config, capture=[Site.PATTERN])
        .activations[Site.PATTERN]
    )  # fmt: skip
    for text in range(2):
        for head in range(config.heads):
            kv, group = divmod(head, config.group)
            mine = pattern[:, text, kv, group]
            for key in range(9):
                wanted = (
                    sum(
                        mine[:, q, key]
                        for q in np.flatnonzero(readers[text])
                        if q > key
                    )
                    / readers[text].sum()
                )
                np.testing.assert_allclose(found[text, :, head, key], wanted, atol=1e-6)
    with pytest.raises(ValueError, match=r"texts \[1\] have no reader"):
        passes.attention_received(
            parameters, tokens, readers & [[True], [False]], config=config
        )


def _random_texts(generator, texts: int, heads: int):
    items = [[np.arange(4, 9), np.arange(9, 13), np.arange(13, 20)]] * texts
    return list(generator.random((texts, heads, 20))), items


def test_heads_that_do_not_care_are_named_no_more_often_than_they_may_be():
    generator = np.random.default_rng(0)
    named = 0
    for seed in range(200):
        received, items = _random_texts(generator, 12, 8)
        found = metrics.enumerator_attention(received, items, draws=100, seed=seed)
        named += bool((found.p_value < 0.05).any())
    assert named <= 20  # 10 expected of all 1,600 tests together


def test_a_head_that_cares_is_found_and_its_excess_is_exact():
    received, items = _random_texts(np.random.default_rng(0), 12, 8)
    for one in received:
        one[2, [4, 9, 13]] += 0.5
    found = metrics.enumerator_attention(received, items, draws=100)
    assert found.p_value[2] == 1 / 101 and (np.delete(found.p_value, 2) > 0.05).all()
    share = np.mean([one[2, [4, 9, 13]].sum() for one in received])
    assert found.share[:, 2].mean() == pytest.approx(share)


def test_percentiles_rank_within_a_layer_and_groups_against_their_layers():
    excess = np.array([[0.1, 0.3, 0.2, 0.2], [5.0, 4.0, 3.0, 2.0]])
    ranks = metrics.percentiles(excess)
    np.testing.assert_allclose(ranks[0], [0, 1, 0.5, 0.5])
    high, p_high = metrics.group_percentile(ranks, [(0, 1), (1, 0)])
    low, p_low = metrics.group_percentile(ranks, [(0, 0), (1, 3)])
    assert (high, low) == (1, 0) and p_low == 1
    assert p_high == pytest.approx(1 / 16, abs=0.03)


@pytest.mark.parametrize(
    ("p_values", "status"),
    [
        ((0.01, 0.02), "supported"),
        ((0.01, 0.3), "undecided"),
        ((0.97, 0.99), "contradicted"),
        ((None, None), "not testable here"),
    ],
)
def test_named_heads_look_there_only_if_they_do_in_every_kind(p_values, status: str):
    kinds = tuple(
        KindElsewhere(kind=f"kind {p}", texts=9, excess=((0.1, 0.2),), percentile=0.5,
                      p_value=p)
        for p in p_values
    )  # fmt: skip
    found = ElsewhereFindings(
        source="own", kinds=kinds, heads=(), examples=(), letter_heads=("L0H1",),
        left_out=0, level=0.05,
    )  # fmt: skip
    run = examples.changed(examples.open_gate(), elsewhere=found)
    shown = {section.anchor: section for section in sections.sections(run)}
    [claim] = shown["elsewhere"].claims
    assert claim.status == status


def test_own_texts_are_many_different_and_listed():
    texts = prompts.own_texts(30)
    assert len({text.text for text in texts}) == len(texts)
    counts = {kind: sum(t.kind == kind for t in texts) for kind in ("prose", "code")}
    assert counts == {"prose": 30, "code": 30}
    assert min(len(text.enumerators) for text in texts) >= 3


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A. one\nB) two\n(c) three", "ABc"),
        ("- one\n  * two\n• three", "-*•"),
        ("Step 1: go\nStep 2: stay", "12"),
        ("case 1: a\ncase X: b", "1X"),
        ("A man. Is 3.5 more than a pint (of milk)?", ""),
    ],
)
def test_enumerators_are_found(text: str, found: str):
    spans = prompts.find_enumerators(text)
    assert "".join(text[start:end] for start, end in spans) == found


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"text": "Nothing here."}, "line 1 has 0 enumerators"),
        ({"texts": "A. x\nB. y"}, r"line 1 has \['texts'\]; give text and kind alone"),
        ({"text": 3}, "line 1 has a text of type int"),
        ("A. x", "line 1 holds a str"),
    ],
)
def test_bad_lines_are_named(tmp_path: pathlib.Path, line, message: str):
    file = tmp_path / "texts.jsonl"
    file.write_text(json.dumps(line), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        prompts.read_texts(file)


def test_a_file_of_ones_own_is_read_by_kind(tmp_path: pathlib.Path):
    file = tmp_path / "texts.jsonl"
    lines = [{"text": "A. x\nB. y", "kind": "short"}, {"text": "1. x\n2. y\n3. z"}]
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    short, text = prompts.read_texts(file)
    assert (short.kind, text.kind) == ("short", "text")
    assert len(short.enumerators) == 2 and len(text.enumerators) == 3
