"""Patch one head: give it what it wrote on another prompt, and see what is lost.

    python examples/patch_one_head.py

The two prompts are rotations of one question: the same words, but the right option
stands in another line. So what the head knew of *which letter* is exchanged, and
nothing else.
"""

import numpy as np

from mcq_jax import Capture, Site, forward
from mcq_jax.interventions import last, resample_ablate
from mcq_jax.planted import plant
from mcq_jax.prompts import batches, render, rotations, tokenise


def main() -> tuple[float, float]:
    """Returns the right letter's lead before and after the patch."""
    model = plant(0)
    node = model.truth.playing("correct-letter head")[0]
    assert node.head is not None

    pair = rotations(model.questions(1)[0])[:2]
    prompts = [tokenise(render(q, model.template), model.tokenizer) for q in pair]
    batch = next(batches(prompts, size=2))
    answer = last(batch.lengths)  # [row, one]: the position of each row's last token

    def run(edits=(), capture=()):
        return forward(
            model.parameters, batch.ids, edits, config=model.config, capture=capture
        )

    # Row 0 gets what row 1 had, and the other way round, in one head at one position.
    clean = run(capture=[Capture(site=Site.Z, layers=(node.layer,), positions=answer)])
    edit = resample_ablate(
        Site.Z,
        clean.activations[Site.Z],
        rows=[1, 0],
        layers=[node.layer],
        heads=[node.head],
        positions=answer,
    )
    print(edit)  # an edit is data: it can be read, saved, batched and differentiated
    patched = run([edit])

    leads = []
    for name, output in (("clean", clean), ("patched", patched)):
        logits = np.asarray(output.logits)[np.arange(2), np.asarray(answer)[:, 0]]
        answers = np.take_along_axis(logits, batch.answer_ids, axis=1)
        right = answers[np.arange(2), batch.gold]
        others = (answers.sum(axis=1) - right) / (answers.shape[1] - 1)
        leads.append(float(right[0] - others[0]))
        letters = " ".join(f"{value:6.2f}" for value in answers[0])
        print(f"{name:8} logits A B C …: {letters}   lead of the right letter "
              f"{leads[-1]:.2f}")  # fmt: skip
    return leads[0], leads[1]


if __name__ == "__main__":
    main()
