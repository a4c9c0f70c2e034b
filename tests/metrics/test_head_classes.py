import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest

from mcq_jax import metrics
from tests.metrics import runs

RUN = runs.rotated(12)
PROMPTS, CHOICES = RUN.answer_logits.shape
TOTAL = 5.0  # net(x) - net(x')


def attends_gold(
    weight: float = 0.7, letters: Sequence[int] = range(CHOICES)
) -> np.ndarray:
    """Label shares of a head that looks at the gold label, evenly where it is other."""
    shares = np.full((PROMPTS, CHOICES), 0.25)
    for prompt, gold in enumerate(RUN.gold):
        if gold in letters:
            shares[prompt] = (1 - weight) / (CHOICES - 1)
            shares[prompt, gold] = weight
    return shares


def attends_letter(letter: int, weight: float = 0.85, bonus: float = 0) -> np.ndarray:
    shares = np.full((PROMPTS, CHOICES), (1 - weight) / (CHOICES - 1))
    shares[:, letter] = weight
    is_gold = RUN.gold == letter
    shares[is_gold] = (1 - weight - bonus) / (CHOICES - 1)
    shares[is_gold, letter] = weight + bonus
    return shares


EVEN = np.full((PROMPTS, CHOICES), 0.25)

# Name of the class, label attention, OV margin, direct effect, and what else is known.
HEADS = {
    "correct_letter": {"labels": 0.8 * attends_gold(), "writes": 3.0, "direct": 1.5},
    "letter_specific": {
        "labels": 0.6 * attends_gold(letters=[1]),
        "writes": 1.0,
        "direct": 0.2,
    },
    "single_letter": {"labels": 0.9 * attends_letter(0), "writes": 1.0},
    "uniform": {"labels": 0.5 * EVEN},
    "negative": {"labels": 0.8 * attends_gold(), "writes": -2.0, "direct": -0.5},
    "amplifier": {"labels": 0 * EVEN, "direct": 1.0, "resampled": 0.1, "late": 0.9},
    "content_gatherer": {"labels": 0.05 * EVEN, "content": 0.6 * attends_gold()},
    "late": {"labels": 0 * EVEN, "direct": 0.9, "resampled": 0.8, "late": 0.9},
    "other": {"labels": 0.8 * attends_gold(), "writes": 0.0},  # writes junk
}


def evidence(heads: list[dict], **changes) -> metrics.HeadEvidence:
    def column(key: str, default: float) -> np.ndarray:
        return np.array([[head.get(key, default) for head in heads]])

    attention = np.stack([head["labels"] for head in heads], axis=1)[:, None]
    content = np.stack([head.get("content", 0 * EVEN) for head in heads], axis=1)
    direct = column("direct", 0.0)
    options = {
        "resampled_direct_effect": np.array(
            [[head.get("resampled", head.get("direct", 0.0)) for head in heads]]
        ),
        "content_attention": content[:, None],
        "late_attention": np.tile(column("late", 0.0), (PROMPTS, 1, 1)),
    }
    return metrics.head_evidence(
        attention,
        RUN.gold,
        ov_margin=column("writes", 0.0),
        direct_effect=direct,
        total_difference=TOTAL,
        **(options | changes),
    )


def names(found: metrics.HeadEvidence, **thresholds) -> list[str]:
    limits = metrics.Thresholds(**thresholds)
    return [head.name for head in metrics.classify_heads(found, limits)]


def test_every_class_is_found_from_its_own_evidence():
    found = evidence(list(HEADS.values()))
    assert names(found) == list(HEADS)
    assert set(HEADS) == set(metrics.PRECEDENCE)


def test_s_is_the_gain_in_share_when_the_letter_is_gold():
    (head,) = metrics.classify_heads(evidence([HEADS["correct_letter"]]))
    np.testing.assert_allclose(head.follows, [0.7 - 0.1] * 4)
    assert head.label_mass == pytest.approx(0.8) and head.letters == (0, 1, 2, 3)


def test_a_letter_specific_head_names_its_letters():
    (head,) = metrics.classify_heads(evidence([HEADS["letter_specific"]]))
    assert head.letters == (1,)
    assert head.follows[1] == pytest.approx(0.45)


def test_a_single_letter_head_names_its_letter_and_follows_nothing():
    (head,) = metrics.classify_heads(evidence([HEADS["single_letter"]]))
    assert head.letters == (0,)
    np.testing.assert_allclose(head.follows, 0, atol=1e-12)


def test_a_biased_head_with_a_bonus_stays_single_letter_and_shows_its_other_side():
    shares = attends_letter(1, weight=0.65, bonus=0.3)
    head = {"labels": shares, "writes": 1.0}
    (found,) = metrics.classify_heads(
        evidence([head]), metrics.Thresholds(diagonal_ratio=1.2)
    )
    assert found.name == "single_letter" and found.also == ("letter_specific",)
    index = metrics.proto_index(shares, RUN.gold, RUN.question, letter=1)
    assert index.mean == pytest.approx(0.3) and index.low > 0.2


def test_the_proto_index_of_a_constant_head_is_zero_and_its_interval_covers_it():
    generator = np.random.default_rng(0)
    shares = attends_letter(2) * generator.uniform(0.5, 1.5, size=(PROMPTS, CHOICES))
    index = metrics.proto_index(shares, RUN.gold, RUN.question, letter=2)
    assert index.low < 0 < index.high and index.questions == 12


def test_a_head_that_hardly_looks_at_labels_has_no_label_class():
    faint = [{**head, "labels": 0.1 * attends_gold()} for head in HEADS.values()]
    label_classes = {"correct_letter", "letter_specific", "single_letter", "uniform"}
    assert not label_classes & set(names(evidence(faint)))
    assert names(evidence(faint), label_mass=0.05)[0] == "correct_letter"


def test_a_head_parked_off_the_labels_breaks_nothing():
    found = evidence([{"labels": 0 * EVEN, "writes": 3.0}])
    assert names(found) == ["other"]


def test_what_was_not_measured_gives_no_class():
    found = evidence(
        list(HEADS.values()),
        resampled_direct_effect=None,
        content_attention=None,
        late_attention=None,
    )
    missing = {"amplifier", "content_gatherer", "late"}
    assert names(found) == ["other" if name in missing else name for name in HEADS]


def test_classes_do_not_depend_on_the_scale_of_the_logits():
    scaled = [
        {
            key: value if key in {"labels", "content", "late"} else 9 * value
            for key, value in head.items()
        }
        for head in HEADS.values()
    ]
    found = dataclasses.replace(evidence(scaled), total_difference=9 * TOTAL)
    assert names(found) == list(HEADS)


def test_the_ov_margin_is_the_selectivity_of_what_labels_write():
    writes = 2 * np.eye(3) + np.array([5.0, 0.0, -1.0])
    np.testing.assert_allclose(metrics.ov_margin(writes), 2.0)
    table = np.stack([writes, -writes])[None]
    np.testing.assert_allclose(metrics.ov_margin(table), [[2.0, -2.0]])


def test_a_letter_never_gold_and_a_total_that_is_not_positive_are_refused():
    head = HEADS["uniform"]
    with pytest.raises(ValueError, match=r"none with gold \[0\]"):
        metrics.head_evidence(
            np.full((3, 1, 1, 2), 0.5),
            np.ones(3, int),
            ov_margin=np.zeros((1, 1)),
            direct_effect=np.zeros((1, 1)),
            total_difference=1.0,
        )
    with pytest.raises(ValueError, match="positive .* found 0"):
        metrics.head_evidence(
            head["labels"][:, None, None],
            RUN.gold,
            ov_margin=np.zeros((1, 1)),
            direct_effect=np.zeros((1, 1)),
            total_difference=0.0,
        )
