import functools

import numpy as np
import pytest

from mcq_jax import metrics
from tests.metrics import runs

FEW = 200  # permutations: enough for a decision that is not near


def gate(run: runs.Run, logits: np.ndarray, rows=slice(None), **options):
    return metrics.gate(
        logits[rows],
        run.gold[rows],
        run.question[rows],
        permutations=FEW,
        **options,
    )


def test_the_gate_is_open_for_a_binding_model_with_a_letter_bias_and_noise():
    run = runs.rotated(30)
    logits = runs.binding(run, 0.8) + [2.0, 0, 0, -1] + runs.noise(run, seed=1)
    found = gate(run, logits)
    assert found.open and found.p_value < 0.01
    assert found.null_low < 0 < found.null_high < found.selectivity
    assert "moves the logits" in found.reason


@pytest.mark.parametrize("seed", range(5))
def test_the_gate_is_closed_on_random_logits(seed):
    run = runs.rotated(40, seed=seed)
    found = gate(run, runs.noise(run, seed=100 + seed))
    assert not found.open and "no circuit to find" in found.reason


def test_the_gate_is_closed_for_pure_letter_bias():
    run = runs.rotated(20)
    found = gate(run, np.tile([3.0, 0.0, -1.0, 0.0], (80, 1)))
    assert not found.open
    assert found.selectivity == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("size", [1e-6, 5e-5, 10])
def test_an_effect_within_rounding_opens_no_gate(size):
    run = runs.rotated(20)
    logits = runs.binding(run, size) + 30.0
    found = gate(run, logits)
    assert found.open == (size == 10)
    if not found.open:
        assert "no more than rounding may leave" in found.reason
    clean = np.full(20, 30.0) + size * (1 + np.arange(20) / 20)
    pairs = metrics.gate_of_pairs(clean, np.full(20, 30.0), np.arange(20))
    assert pairs.open == (size == 10)
    assert ("rounding" in pairs.reason) == (size != 10)


def test_filtering_noise_by_prompt_makes_a_net_logit_that_the_gate_does_not_pass():
    run = runs.rotated(100)
    logits = runs.noise(run, seed=2)
    nets = metrics.nets(logits, run.gold)
    right = logits.argmax(axis=1) == run.gold
    assert abs(nets.mean()) < 0.2 and nets[right].mean() > 1  # the trap
    filtered = gate(run, logits, right)
    assert filtered.selectivity > 1
    assert not filtered.open and "filtered by prompt" in filtered.reason
    assert not gate(run, logits).open


def test_filtering_noise_by_question_leaves_almost_nothing():
    run = runs.rotated(400)
    logits = runs.noise(run, seed=3)
    kept = metrics.kept_questions(logits, run.gold, run.question)
    assert len(kept) / 400 < 0.02  # (1 / 4) ** 4 by chance
    assert (logits.argmax(axis=1) == run.gold).mean() > 0.2


@pytest.mark.slow
def test_the_null_of_a_model_with_favourite_contents_is_as_wide_as_its_chance():
    seeds = np.random.default_rng(0).integers(2**31, size=(40, 3)).tolist()
    found = []
    for for_run, for_model, for_gate in seeds:
        run = runs.rotated(25, seed=for_run)
        logits = runs.favourite_content(run, 2.0, seed=for_model)
        found.append(gate(run, logits, seed=for_gate))
    # D over 40 chance models must spread as widely as the null of each of them.
    spread = np.std([one.selectivity for one in found])
    width = np.mean([one.null_high - one.null_low for one in found])
    assert width == pytest.approx(2 * 1.96 * spread, rel=0.3)
    assert sum(one.open for one in found) <= 4  # 2.5 % of 40 is 1


def test_a_question_with_one_prompt_has_its_golds_permuted_across_questions():
    generator = np.random.default_rng(0)
    gold = generator.integers(4, size=80)
    names = np.arange(80)
    knows = 1.0 * np.eye(4)[gold] + generator.normal(size=(80, 4))
    found = metrics.gate(knows, gold, names, permutations=FEW)
    assert found.open and "across questions" in found.null
    guesses = generator.normal(size=(80, 4)) + [4.0, 0, 0, 0]
    assert not metrics.gate(guesses, gold, names, permutations=FEW).open


def test_a_model_that_avoids_the_gold_letter_stays_outside_and_is_told_so():
    run = runs.rotated(20)
    found = gate(run, runs.binding(run, -2.0) + runs.noise(run, seed=4))
    assert not found.open and "avoids" in found.reason


TOO_FEW = (
    "permutations of the golds changes nothing, and D must lie above 97.5 % of them; "
    "ask more questions."
)


@functools.cache
def reasons() -> dict[str, tuple[metrics.Gate, str]]:
    """Closed gates of models that know every answer, with their whole sentences."""
    few, run = runs.rotated(2), runs.rotated(12)
    rows = np.r_[0:48, 0:4]  # the first question a second time
    knows = runs.binding(run, 2.0)
    ten = np.arange(10)
    same = np.full(10, 2)
    return {
        "one gold place": (
            metrics.gate(np.eye(4)[same], same, ten, permutations=FEW),
            "the right option has the same place, 3 of 4, in every prompt, and D "
            "compares gold letters: ask each question with its options in every "
            "rotation.",
        ),
        "a repeated question": (
            gate(run, knows, rows),
            "questions have 4 to 8 prompts, not all the same number: in a set filtered "
            "by prompt even noise shows a circuit; give every question in every "
            "rotation, once.",
        ),
        "two questions": (
            gate(few, runs.binding(few, 2.0)),
            "2 questions are too few to tell D from its null (D = 2.000, null -0.667 "
            f"to 2.000): one in 16 {TOO_FEW}",
        ),
        "four prompts": (
            metrics.gate(
                np.eye(4)[[0, 1, 2, 3]], np.arange(4), np.arange(4), permutations=FEW
            ),
            "4 questions are too few to tell D from its null (D = 1.000, null -0.333 "
            f"to 1.000): one in 24 {TOO_FEW}",
        ),
        "one question": (
            gate(few, runs.binding(few, 2.0), slice(4)),
            "1 question is too few to tell D from its null (D = 2.000, null -0.667 "
            f"to 2.000): one in 4 {TOO_FEW}",
        ),
        "the same answer to everything": (
            gate(run, np.tile([3.0, 0.0, -1.0, 0.0], (48, 1))),
            "every prompt has the same answer logits, whichever letter is right; no "
            "circuit to find.",
        ),
    }


@pytest.mark.parametrize("kind", reasons())
def test_a_closed_gate_says_why_in_a_true_sentence(kind):
    found, sentence = reasons()[kind]
    assert not found.open
    assert found.reason == sentence


def test_one_question_more_than_too_few_can_open_the_gate():
    three = runs.rotated(3)
    assert gate(three, runs.binding(three, 2.0)).open
    five = np.arange(5)
    found = metrics.gate(np.eye(5)[five], five, five, permutations=2000)
    assert found.open, found.reason  # one in 120 permutations changes nothing


def test_d_that_cannot_be_measured_has_no_p_value():
    same = np.zeros(3, int)
    found = metrics.gate(np.eye(4)[same], same, np.arange(3), permutations=FEW)
    assert np.isnan(found.selectivity) and np.isnan(found.p_value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_logits_that_are_no_numbers_are_refused_and_counted(value):
    run = runs.rotated(3)
    logits = runs.binding(run, 1.0)
    logits[[2, 7], 1] = value
    with pytest.raises(ValueError, match="of 2 of 12 prompts are no finite numbers"):
        gate(run, logits)


def test_the_gate_of_pairs_opens_where_the_clean_prompt_is_answered_better():
    source = np.random.default_rng(0).normal(size=20)
    found = metrics.gate_of_pairs(source + 1.5, source, np.arange(20))
    assert found.open and found.selectivity == pytest.approx(1.5)
    assert "there is an effect to explain" in found.reason
    # The null's width is that of a mean of independent signs.
    assert found.null_high == pytest.approx(1.96 * 1.5 / np.sqrt(20))
    assert not metrics.gate_of_pairs(source, source, np.arange(20)).open


def test_several_sources_of_one_clean_prompt_are_one_pair():
    clean, source = np.full(6, 2.0), np.zeros(6)
    found = metrics.gate_of_pairs(clean, source, np.array(["a"] * 6))
    assert not found.open and "one pair says nothing about others" in found.reason
    twice = metrics.gate_of_pairs(clean, source, np.array(["a", "b", "c"] * 2))
    assert twice.null_high == pytest.approx(1.96 * 2.0 / np.sqrt(3))


def test_the_same_seed_gives_the_same_gate():
    run = runs.rotated(10)
    logits = runs.noise(run, seed=5)
    assert gate(run, logits, seed=7) == gate(run, logits, seed=7)


def test_a_gate_without_prompts_is_refused():
    with pytest.raises(ValueError, match="found none"):
        metrics.gate(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0, int))
