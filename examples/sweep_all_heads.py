"""Sweep all heads: the effect of patching each, as one batch of edits.

    python examples/sweep_all_heads.py

Layer and head of an edit are arrays, so a sweep is `jax.vmap` over them: no loop, and
one compiled layer. The derivative with respect to the edits' weights is the same table
to first order (attribution patching), for the price of one backward pass.

For large models use `mcq_jax.sweeps`, which runs only what a patch can change.
"""

import jax
import jax.numpy as jnp
import numpy as np

from mcq_jax import Capture, Node, Site, forward
from mcq_jax.interventions import from_rows, last, patch
from mcq_jax.planted import plant
from mcq_jax.prompts import batches, render, rotations, tokenise


def main() -> tuple[np.ndarray, np.ndarray]:
    """Returns total effect and attribution `[layer, head]`, in net logits."""
    model = plant(0)
    config = model.config
    questions = rotations(model.questions(1)[0])
    prompts = [tokenise(render(q, model.template), model.tokenizer) for q in questions]
    batch = next(batches(prompts, size=len(prompts)))
    rows = np.arange(len(prompts))
    answer = last(batch.lengths)

    def run(edits=(), capture=()):
        return forward(
            model.parameters, batch.ids, edits, config=config, capture=capture
        )

    def lead(edits) -> jax.Array:
        """The right letter's logit minus the mean of the others, over all prompts."""
        logits = run(edits).logits[rows, answer[:, 0]]
        answers = jnp.take_along_axis(logits, batch.answer_ids, axis=1)
        right = answers[rows, batch.gold].mean()
        others = answers.shape[1] - 1
        return right - (answers.sum(axis=1).mean() - right) / others

    # Every prompt's source is the next rotation of its question.
    seen = run(capture=[Capture(site=Site.Z, positions=answer)]).activations[Site.Z]
    source = from_rows(Site.Z, seen, np.roll(rows, -1))  # [layer, row, …]
    clean = lead([])

    def effect(layer, head):
        """How much of the lead is lost with this head patched."""
        edit = patch(
            Site.Z,
            source[layer][None],
            layers=layer[None],
            heads=head[None],
            positions=answer,
        )
        return clean - lead([edit])

    layers, heads = jnp.arange(config.layers), jnp.arange(config.heads)
    over_heads = jax.vmap(effect, in_axes=(None, 0))
    total = jax.vmap(over_heads, in_axes=(0, None))(layers, heads)

    @jax.grad
    def slope(weight):  # [layer, head]
        shape = (config.layers, 1, 1, config.kv_heads, config.group, 1)
        where = {"layers": layers, "positions": answer}
        edit = patch(Site.Z, source, weight=weight.reshape(shape), **where)
        return lead([edit])

    attribution = -slope(jnp.zeros((config.layers, config.heads)))

    total, attribution = np.asarray(total), np.asarray(attribution)
    print(f"lead of the right letter: {float(clean):.2f}; lost without a head "
          "(to first order):")  # fmt: skip
    for index in np.argsort(-np.abs(total), axis=None)[:8]:
        layer, head = np.unravel_index(index, total.shape)
        node = Node(int(layer), int(head))
        numbers = f"{total[layer, head]:6.2f}  ({attribution[layer, head]:6.2f})"
        print(f"  {node} {numbers}  {model.truth.roles[node]}")
    return total, attribution


if __name__ == "__main__":
    main()
