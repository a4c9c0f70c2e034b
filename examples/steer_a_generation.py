"""Steer a generation: push the model towards one letter, token by token.

    python examples/steer_a_generation.py

The direction is a difference of means: the residual stream where the right letter is
the target, minus where it is another. Added at every generated token (and at every
token of the prompt: an edit without positions holds everywhere), it decides the answer
once it is strong enough.
"""

import jax.numpy as jnp
import numpy as np

from mcq_jax import Capture, Site, forward
from mcq_jax.interventions import add, last
from mcq_jax.model import generate
from mcq_jax.planted import plant
from mcq_jax.prompts import batches, render, rotations, tokenise

TARGET = 1  # the second option: B
STRENGTHS = (0.0, 0.3, 1.0)


def main() -> dict[float, list[str]]:
    """Returns what the model writes after each prompt, by strength."""
    model = plant(0)
    layer = model.config.layers - 1
    questions = [q for base in model.questions(4) for q in rotations(base)]
    prompts = [tokenise(render(q, model.template), model.tokenizer) for q in questions]
    batch = next(batches(prompts, size=len(prompts)))

    wish = Capture(site=Site.RESID_POST, layers=(layer,), positions=last(batch.lengths))
    run = forward(model.parameters, batch.ids, config=model.config, capture=[wish])
    residual = run.activations[Site.RESID_POST][0, :, 0]  # [row, width]
    is_target = batch.gold == TARGET
    direction = residual[is_target].mean(axis=0) - residual[~is_target].mean(axis=0)

    written = {}
    for strength in STRENGTHS:
        edit = add(
            Site.RESID_POST,
            direction[None, None, None],  # [slot, row, position, width]
            layers=[layer],
            weight=jnp.float32(strength),  # another value, the same compiled program
        )
        generated = generate(
            model.parameters,
            batch.ids,
            batch.lengths,
            config=model.config,
            edits=[edit],
            steps=1,
        )
        tokens = np.asarray(generated.tokens)
        written[strength] = [model.tokenizer.decode(row) for row in tokens]
        print(f"{edit}\n  {' '.join(written[strength])}")
    return written


if __name__ == "__main__":
    main()
