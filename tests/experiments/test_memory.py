"""What cannot fit is refused before anything runs, with what would fit."""

import pytest

from mcq_jax import costs
from mcq_jax.experiments import memory
from tests import tiny

CONFIG = tiny.CASES["grouped heads, biases, partial rotation"]
TOKENS = 100
ONE = costs.chunk_bytes(CONFIG, prompts=1, tokens=TOKENS)


def _check(monkeypatch, room: float, **prompts: int) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda: int(room * ONE) + 1)
    memory.check_memory(CONFIG, tokens=TOKENS, **prompts)


def test_what_fits_is_let_through(monkeypatch):
    _check(monkeypatch, 8, batch=8, chunk=4)
    monkeypatch.setattr(memory, "free_bytes", lambda: None)  # who does not say
    memory.check_memory(CONFIG, tokens=TOKENS, batch=10**9, chunk=10**9)


def test_a_refusal_names_the_batch_that_would_fit(monkeypatch):
    with pytest.raises(ValueError, match="batches of 9 prompts .* use --batch 8"):
        _check(monkeypatch, 8, batch=9, chunk=4)
    with pytest.raises(ValueError, match="patched together .*leave out long prompts"):
        _check(monkeypatch, 3, batch=3, chunk=4)
    with pytest.raises(ValueError, match="leave out long prompts"):
        _check(monkeypatch, 0.5, batch=1, chunk=1)
