"""Runs on planted models by other clues than those a card can name."""

import pytest

from mcq_jax import planted
from mcq_jax.checkpoints import Checkpoint
from mcq_jax.experiments import opening


def open_planted(
    monkeypatch: pytest.MonkeyPatch, seed: int = 0, **recipe
) -> planted.Planted:
    """Has runs open this planted model instead of one by a variant."""
    model = planted.plant(seed, **recipe)
    checkpoint = Checkpoint(
        parameters=model.parameters, config=model.config, tokenizer=model.tokenizer,
        name="planted by clues", content_hash=repr((seed, recipe)),
    )  # fmt: skip
    monkeypatch.setattr(opening, "_plant", lambda config: (checkpoint, model.truth))
    return model
