"""A card of two members, as a user writes one."""

import os
import signal

from mcq_jax.training import Member, TrainingConfig
from tests.training.small import CONFIG, TOKENIZER, Counting


class Killing(Counting):
    """The stream, and the end of the process that asks for a batch of choice."""

    def batch(self, step: int):
        if step == int(os.environ.get("KILLED_AT", -1)):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().batch(step)


def config() -> TrainingConfig:
    return TrainingConfig(
        title="counting",
        model=CONFIG,
        tokenizer=TOKENIZER,
        members=(
            Member(name="a", stream=Killing(), learning_rate=0.02),
            Member(name="b", stream=Killing(seed=1), learning_rate=0.01),
        ),
        steps=12,
        warm_up=4,
        rows_at_once=4,
        steps_at_once=3,
        save_every=4,
        checkpoints=(0, 4),
        keeps_states=True,
    )
