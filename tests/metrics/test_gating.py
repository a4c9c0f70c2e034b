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
    assert found.null_low < 0 < found.null_high < found.statistic
    assert (found.n_questions, found.n_prompts) == (30, 120)
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
    assert found.statistic == pytest.approx(0, abs=1e-12)


def test_filtering_noise_by_prompt_makes_a_net_logit_that_the_gate_does_not_pass():
    run = runs.rotated(100)
    logits = runs.noise(run, seed=2)
    nets = metrics.nets(logits, run.gold)
    right = logits.argmax(axis=1) == run.gold
    assert abs(nets.mean()) < 0.2 and nets[right].mean() > 1  # the trap
    filtered = gate(run, logits, right)
    assert filtered.statistic > 1
    assert not filtered.open and "filtered by prompt" in filtered.reason
    assert not gate(run, logits).open


def test_filtering_noise_by_question_leaves_almost_nothing():
    run = runs.rotated(400)
    logits = runs.noise(run, seed=3)
    kept = metrics.kept_questions(logits, run.gold, run.question)
    assert len(kept) / 400 < 0.02  # (1 / 4) ** 4 by chance
    assert (logits.argmax(axis=1) == run.gold).mean() > 0.2


def test_the_null_of_a_model_with_favourite_contents_is_as_wide_as_its_chance():
    seeds = np.random.default_rng(0).integers(2**31, size=(60, 3)).tolist()
    found = []
    for for_run, for_model, for_gate in seeds:
        run = runs.rotated(25, seed=for_run)
        logits = runs.favourite_content(run, 2.0, seed=for_model)
        found.append(gate(run, logits, seed=for_gate))
    # D over 60 chance models must spread as widely as the null of each of them.
    spread = np.std([one.statistic for one in found])
    width = np.mean([one.null_high - one.null_low for one in found])
    assert width == pytest.approx(2 * 1.96 * spread, rel=0.3)
    assert sum(one.open for one in found) <= 5  # 2.5 % of 60 is 1.5


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


def test_a_single_gold_letter_gives_no_selectivity_and_no_circuit():
    found = metrics.gate(
        np.eye(4)[[0, 0, 0]], np.zeros(3, int), np.arange(3), permutations=FEW
    )
    assert not found.open and "two gold letters" in found.reason


def test_the_same_seed_gives_the_same_gate():
    run = runs.rotated(10)
    logits = runs.noise(run, seed=5)
    assert gate(run, logits, seed=7) == gate(run, logits, seed=7)


def test_a_gate_without_prompts_is_refused():
    with pytest.raises(ValueError, match="found none"):
        metrics.gate(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0, int))
