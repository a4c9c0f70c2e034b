"""Linear probes: by the normal equations, and beside control tasks."""

import numpy as np
import pytest

from mcq_jax import metrics
from mcq_jax.metrics import probes


def _rows(seed: int = 0, questions: int = 24, width: int = 12):
    random = np.random.default_rng(seed)
    question = np.repeat(np.arange(questions), 4)
    place = np.tile(np.arange(4), questions)
    letter = random.permuted(np.tile(np.arange(4), (questions, 1)), axis=1).ravel()
    noise = random.normal(size=(len(question), width))
    return question, place, letter, noise, question < questions // 2


def test_scores_are_those_of_the_normal_equations():
    """Of one penalty: weights over features and a constant that is not penalised."""
    random = np.random.default_rng(0)
    x, y = random.normal(size=(30, 5)), random.normal(size=(30, 2))
    new = random.normal(size=(7, 5))
    found = probes._solved(x @ x.T, new @ x.T, y)
    away = x - x.mean(axis=0)
    scale = (away**2).sum() / len(x)
    for scores, penalty in zip(found, probes._PENALTIES, strict=True):
        weights = np.linalg.solve(
            away.T @ away + penalty * scale * np.eye(5), away.T @ (y - y.mean(axis=0))
        )
        expected = (new - x.mean(axis=0)) @ weights + y.mean(axis=0)
        np.testing.assert_allclose(scores, expected, atol=1e-8)


def test_what_is_there_is_read_and_its_control_is_not():
    question, place, letter, noise, fitting = _rows()
    features = noise.copy()
    features[:, :4] += 5 * np.eye(4)[place]
    read = ~fitting
    hits = metrics.probe_classes(features, place, question, fitting) == place[read]
    controls = []
    for draw in range(3):
        other = metrics.control_classes(4 * place + letter, 4, seed=draw)
        found = metrics.probe_classes(features, other, question, fitting)
        controls.append(found == other[read])
    found = metrics.probed(hits, np.array(controls), question[read])
    assert found.accuracy.mean > 0.95 and found.control.mean < 0.6
    assert found.selectivity.low > 0.3
    # Of the letter there is nothing to read.
    hits = metrics.probe_classes(features, letter, question, fitting) == letter[read]
    assert hits.mean() < 0.45


@pytest.mark.slow
def test_a_probe_of_lines_finds_the_one_that_is_marked():
    question, place, _, _, fitting = _rows()
    random = np.random.default_rng(1)
    features = random.normal(size=(len(place), 4, 10))
    found = metrics.probe_lines(features, place, question, fitting)
    assert (found == place[~fitting]).mean() < 0.45
    features[np.arange(len(place)), place, 3] += 6
    found = metrics.probe_lines(features, place, question, fitting)
    assert (found == place[~fitting]).mean() > 0.95


def test_control_labels_are_one_per_cell_and_balanced():
    cells = np.random.default_rng(0).integers(16, size=400)
    labels = metrics.control_classes(cells, 4, seed=0)
    for cell in range(16):
        assert len(set(labels[cells == cell])) == 1
    of_cells = [labels[cells == cell][0] for cell in range(16)]
    assert np.bincount(of_cells).tolist() == [4, 4, 4, 4]
    assert (labels != metrics.control_classes(cells, 4, seed=1)).any()


def test_where_nothing_differs_nothing_is_read():
    question, place, _, _, fitting = _rows()
    found = metrics.probe_classes(np.full((96, 5), 3.0), place, question, fitting)
    assert (found == place[~fitting]).mean() == 0.25


def test_too_few_questions_are_refused():
    question, place, _, noise, _ = _rows()
    with pytest.raises(ValueError, match="fitted on 2 questions and read on 22"):
        metrics.probe_classes(noise, place, question, question < 2)
    with pytest.raises(ValueError, match="and read on 0"):
        metrics.probe_classes(noise, place, question, question >= 0)
