"""Read activations: which heads look at the right option's label when it counts?

    python examples/read_activations.py

The model is a planted one: its circuit was constructed, so we can compare what we read
with what is true. With `mcq_jax.load("path/to/checkpoint")` in its place the rest stays
the same.
"""

import numpy as np

from mcq_jax import Capture, Node, Site, forward
from mcq_jax.interventions import last
from mcq_jax.planted import plant
from mcq_jax.prompts import batches, render, span_positions, tokenise

QUESTIONS = 8


def main() -> dict[Node, float]:
    """Returns every head's attention from the last token to the right label."""
    model = plant(0)
    questions = model.questions(QUESTIONS)
    prompts = [tokenise(render(q, model.template), model.tokenizer) for q in questions]
    batch = next(batches(prompts, size=QUESTIONS))
    prompts = [prompts[i] for i in batch.index]  # as the batch has them

    # A capture is a wish: this site, at these positions. Nothing else is kept.
    wish = Capture(site=Site.PATTERN, positions=last(batch.lengths))
    run = forward(model.parameters, batch.ids, config=model.config, capture=[wish])

    # Axes are those of the site, after layer and row; one position was asked for.
    pattern = np.asarray(run.activations[Site.PATTERN])
    print("attention", ("layer", "row", *Site.PATTERN.axes), "=", pattern.shape)
    layers, rows, *_, keys = pattern.shape
    pattern = pattern.reshape(layers, rows, model.config.heads, keys)

    # Where does each prompt's right label stand? Spans know their names.
    gold = span_positions(prompts, "label", [prompt.gold for prompt in prompts])[:, 0]
    share = pattern[:, np.arange(rows), :, gold].mean(axis=0)  # [layer, head]

    found = {
        Node(layer, head): float(share[layer, head])
        for layer in range(layers)
        for head in range(model.config.heads)
    }
    print(f"\nattention from the last token to the right label, {rows} prompts:")
    for node in sorted(found, key=lambda node: -found[node])[:6]:
        print(f"  {node}  {found[node]:.2f}  planted as a {model.truth.roles[node]}")
    return found


if __name__ == "__main__":
    main()
