"""Patch every node on all the devices there are, on one host or on many.

    python examples/sweep_on_many_devices.py
    srun python examples/sweep_on_many_devices.py --many-hosts

Every process runs this same program and passes in the same prompts; each holds its part
of the mesh. On TPU pods, under Slurm and on GKE, jax finds the other processes itself.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np

from mcq_jax import passes, sharding, sweeps
from mcq_jax.planted import plant
from mcq_jax.prompts import batches, render, rotations, tokenise


def main(arguments: tuple[str, ...] = (), mesh_shape: str | None = None) -> np.ndarray:
    """Returns by how much each patch lowers the right letter, `[prompt, row]`."""
    if "--many-hosts" in arguments:
        sharding.join_hosts()  # before anything else
    model = plant(0)
    config = model.config
    questions = [r for question in model.questions(2) for r in rotations(question)]
    prompts = [tokenise(render(q, model.template), model.tokenizer) for q in questions]
    batch = next(batches(prompts, size=len(prompts)))

    size = sum(w.nbytes for w in jax.tree.leaves(model.parameters))
    mesh = sharding.make_mesh(config, mesh_shape, parameter_bytes=size)
    with sharding.use_mesh(mesh):
        parameters = sharding.shard_parameters(model.parameters, mesh)
        clean = passes.prefill(parameters, batch.ids, batch.lengths, config=config)
        # Every prompt's source is the next one.
        sources = {
            site: jnp.roll(wrote, -1, 1)[:, :, None, None]  # [layer, prompt, 1, 1, …]
            for site, wrote in clean.nodes.items()
        }
        patched = passes.resume(
            parameters, clean, sources, sweeps.every_node(config), config=config
        )
        logits = [
            passes.read_answers(
                parameters.unembedding, final, batch.answer_ids, config=config
            )[0]
            for final in (clean.final, patched.final)
        ]
        before, after = sharding.on_every_host(logits)
    prompt = np.arange(len(prompts))
    lost = before[prompt, batch.gold][:, None] - after[prompt, 0, :, batch.gold]
    if sharding.is_first_host():
        print(f"{lost.size} patches on {sharding.shape_of(mesh)}: the right letter's "
              f"logit loses up to {lost.max():.2f}")  # fmt: skip
    return lost


if __name__ == "__main__":
    main(tuple(sys.argv[1:]))
