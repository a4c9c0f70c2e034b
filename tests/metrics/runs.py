"""Made-up runs of a model on rotated questions, with known behaviour."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Run:
    answer_logits: np.ndarray  # [prompt, choice]
    gold: np.ndarray  # [prompt]
    question: np.ndarray  # [prompt]
    rotation: np.ndarray  # [prompt]


def rotated(questions: int, choices: int = 4, *, seed: int = 0) -> Run:
    """Every question in every rotation, all logits zero, gold content at random."""
    generator = np.random.default_rng(seed)
    content = np.repeat(generator.integers(choices, size=questions), choices)
    rotation = np.tile(np.arange(choices), questions)
    names = np.array([f"question {number:04d}" for number in range(questions)])
    return Run(
        answer_logits=np.zeros((questions * choices, choices)),
        gold=(content + rotation) % choices,
        question=np.repeat(names, choices),
        rotation=rotation,
    )


def binding(run: Run, strength: float) -> np.ndarray:
    """Logits of a model that knows the answers and binds them to letters."""
    return strength * np.eye(run.answer_logits.shape[1])[run.gold]


def noise(run: Run, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=run.answer_logits.shape)


def favourite_content(run: Run, strength: float, seed: int) -> np.ndarray:
    """Logits of a model that likes one option of each question, right or wrong."""
    choices = run.answer_logits.shape[1]
    questions = len(run.gold) // choices
    liked = np.random.default_rng(seed).integers(choices, size=questions)
    letter = (np.repeat(liked, choices) + run.rotation) % choices
    return strength * np.eye(choices)[letter]
