"""Choices by a known rule are read as that rule, and as no other.

Heads that count lines from the start are planted (`tests/planted`); here choices are
made by hand, since two of the rules have no such model.

From the end: a swap leaves the base its keys, and a key knows nothing of what follows.
Take two bases that are alike up to a line; behind it one has one more option, the other
a line of no option with as many tokens. A query scores the lines before alike in both,
by whatever positions. The last but one is another line in each, so no scores find both.

By token offset: scores have to know the distance, so queries and keys must turn with
their positions, and the wanted distance is made of place and number of options, pair by
pair. Planted models have no positions, which keeps their truth exact.
"""

import functools
import re

import numpy as np
import pytest

from mcq_jax import prompts
from mcq_jax.experiments import swap_prompts
from mcq_jax.experiments.swap_reading import describe
from mcq_jax.results import Followed

RULES = ("place", "from_end", "offset")


@functools.cache
def _pairs(name: str) -> swap_prompts.SwapPrompts:
    form = prompts.SWAP_FORMS[name]
    pairs = prompts.swap_pairs(prompts.word_copy(40, seed=1, choices=7), form, seed=1)
    rendered = {
        wording: prompts.render_wording(wording)
        for pair in pairs
        for wording in (pair.base, pair.source)
    }
    words = {
        w for r in rendered.values() for w in re.findall(r"\w+|\n|[^\w\s]", r.text)
    }
    tokenizer = prompts.WordTokenizer(("<bos>", *sorted(words)), bos="<bos>")
    return swap_prompts.tokenised_pairs(
        pairs, form, lambda wording: prompts.tokenise(rendered[wording], tokenizer)
    )


@pytest.fixture
def counted() -> swap_prompts.SwapPrompts:
    """Six options and a line that is none of them, from four options."""
    return _pairs("unlabelled_line")


def _followed(counted: swap_prompts.SwapPrompts, rule: str) -> Followed:
    """What is read where every choice is the line that a rule leads to."""
    chosen = counted.lines[rule]
    logits = np.eye(counted.choices)[chosen]
    table = {
        "patched_logits": logits[:, None],
        "base_logits": logits,
        "source_logits": np.eye(4)[[p.gold for p in counted.sources]],
        "attention": np.zeros((len(chosen), 0, counted.choices)),
    }
    [found] = describe(counted, [("heads", None)], table, seed=0).followed
    return found


@pytest.mark.parametrize("rule", RULES)
def test_start_end_and_tokens_are_told_apart(counted, rule):
    found = _followed(counted, rule)
    followed = {name: getattr(found, name) for name in RULES}
    assert followed[rule].mean == 1
    for other in set(RULES) - {rule}:
        # They agree where the line of no option does not lie between.
        assert followed[other].high < 0.9
    assert not found.too_few


@pytest.mark.parametrize("rule", RULES)
def test_of_options_alone_start_and_end_are_told_apart_and_end_and_tokens_not(rule):
    """Four options into six, of one length: an offset is a place from the end.

    Start and end lie two lines apart: whoever goes by one never chooses the other.
    """
    counted = _pairs("across_counts")
    np.testing.assert_array_equal(counted.lines["from_end"], counted.lines["offset"])
    np.testing.assert_array_equal(counted.lines["from_end"], counted.lines["place"] + 2)
    found = _followed(counted, rule)
    assert found.from_end is not None and found.from_end == found.offset
    wanted, other = found.place, found.from_end
    if rule != "place":
        wanted, other = other, wanted
    assert wanted.mean == 1 and other.high < 0


def test_soft_choices_are_read_as_shares(counted):
    """Attention split between two lines follows each as far as its share."""
    rows = np.arange(len(counted.base))
    looks = np.zeros((len(rows), 1, counted.choices))
    looks[rows, 0, counted.lines["place"]] = 0.3
    looks[rows, 0, counted.lines["from_end"]] += 0.1
    table = {
        "patched_logits": np.eye(counted.choices)[counted.lines["own"]][:, None],
        "base_logits": np.eye(counted.choices)[counted.lines["own"]],
        "source_logits": np.eye(4)[[p.gold for p in counted.sources]],
        "attention": looks,
    }
    titles: list[tuple[str, int | None]] = [("heads", None), ("L0H1", None)]
    table["patched_logits"] = np.tile(table["patched_logits"], (1, 2, 1))
    found = describe(counted, titles, table, seed=0)
    [eyes] = [f for f in found.followed if f.reading == "attention"]
    # Of the attention on lines, .75 goes to the place: by_place has it on its diagonal,
    # and never at the place that is two lines on.
    assert eyes.who == "L0H1"
    diagonal = np.array(eyes.by_place)[range(4), range(4)]
    assert diagonal == pytest.approx([0.75] * 4)
    two_on = np.array(eyes.by_place)[range(4), range(2, 6)]
    assert two_on == pytest.approx([0.25] * 4)
    answers = found.followed[0]
    assert answers.stays.mean == 1 and abs(answers.place.mean) < 1e-9
