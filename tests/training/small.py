"""A model small enough to train in a test, and what it is trained on."""

import dataclasses

import numpy as np
import tokenizers

from mcq_jax.model import ModelConfig
from mcq_jax.prompts import TokenizerFile
from mcq_jax.training import Batch

WORDS = {f"t{i}": i for i in range(13)}
TOKENIZER = TokenizerFile(
    tokenizers.Tokenizer(tokenizers.models.WordLevel(WORDS, unk_token="t0"))
)
CONFIG = ModelConfig(
    layers=2,
    width=8,
    kv_heads=2,
    group=1,
    head_width=4,
    neurons=16,
    vocabulary=len(WORDS),
    context=8,
    rotary_width=4,
    tied=True,
)


@dataclasses.dataclass(frozen=True)
class Counting:
    """Rows that count upwards from a random token; the last tokens weigh nothing."""

    seed: int = 0
    rows: int = 8
    time: int = 6

    def batch(self, step: int) -> Batch:
        generator = np.random.default_rng((self.seed, step))
        start = generator.integers(len(WORDS), size=(self.rows, 1))
        ids = (start + np.arange(self.time)) % len(WORDS)
        weights = np.ones(ids.shape, np.float32)
        weights[::2, -2:] = 0
        return Batch(ids.astype(np.int32), weights)
