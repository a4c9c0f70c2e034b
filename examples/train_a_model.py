"""Train a small model of one's own, and open what it was on the way.

    python examples/train_a_model.py

A stream is any object whose `batch(step)` is a function of the step alone; here rows
count upwards. Checkpoints open like any other, so circuits can be followed over time.
"""

import pathlib
import tempfile

import numpy as np
import tokenizers

from mcq_jax import ModelConfig, load
from mcq_jax.prompts import TokenizerFile
from mcq_jax.training import Batch, Member, TrainingConfig, next_token_loss, train

NUMBERS = {str(number): number for number in range(20)}


class Counting:
    """Rows of 8 tokens that count upwards from a random number."""

    def batch(self, step: int) -> Batch:
        start = np.random.default_rng(step).integers(len(NUMBERS), size=(16, 1))
        ids = (start + np.arange(8)) % len(NUMBERS)
        return Batch(ids.astype(np.int32), np.ones(ids.shape, np.float32))


def main(folder: str | None = None) -> dict[int, float]:
    """Returns the loss of each checkpoint, in nats per token."""
    words = tokenizers.models.WordLevel(NUMBERS, unk_token="0")
    model = ModelConfig(
        layers=2,
        width=16,
        kv_heads=2,
        group=1,
        head_width=8,
        neurons=32,
        vocabulary=len(NUMBERS),
        context=8,
        rotary_width=8,
        tied=True,
    )
    trained = train(
        TrainingConfig(
            title="counting",
            model=model,
            tokenizer=TokenizerFile(tokenizers.Tokenizer(words)),
            members=(Member(name="one", stream=Counting(), learning_rate=0.02),),
            steps=80,
            warm_up=10,
            checkpoints=(0, 20, 40),
            out=folder or tempfile.mkdtemp(),
        )
    )
    losses, unseen = {}, Counting().batch(80)
    for path in sorted((trained.folder / "one/checkpoints").iterdir()):
        checkpoint = load(pathlib.Path(path))
        loss = next_token_loss(checkpoint.parameters, unseen, config=checkpoint.config)
        losses[int(path.name.removeprefix("step-"))] = float(loss)
    for step, loss in losses.items():
        print(f"after {step:3d} steps: {loss:.3f} nats per token")
    return losses


if __name__ == "__main__":
    main()
