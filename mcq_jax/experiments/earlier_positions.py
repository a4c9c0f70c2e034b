"""Which nodes matter before the answer position: each patched at all earlier tokens.

It finds what no patch at the last token can: heads that mark options or count lines on
the way. Rows run over the whole prompt from their layer on, so this costs half a pass
per node and prompt.
"""

import functools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from mcq_jax import sweeps
from mcq_jax.checkpoints import Checkpoint
from mcq_jax.experiments.progress import Progress
from mcq_jax.experiments.study import Study
from mcq_jax.interventions import Site
from mcq_jax.prompts import TokenBatch
from mcq_jax.sweeps import batch_of


def patch_earlier_positions(
    checkpoint: Checkpoint, study: Study, progress: Progress, *, questions: int
) -> Float[np.ndarray, "layer node"]:
    """Returns the largest change of an answer logit over prompts, per node, in logits.

    Each node is resampled from a source of the first kind, aligned token by token
    (prompts whose source has another length are passed over), and also set to zero:
    a head that counts lines writes the same in every prompt, so no source exposes it.
    """
    config = checkpoint.config
    largest = np.zeros((config.layers, config.nodes))
    chunks = study.chunks[:questions]
    for chunk in progress.track(chunks, "patching earlier tokens"):
        source = study.sources.index[chunk, 0]
        pairs = [
            (study.prompts[i], study.prompts[j])
            for i, j in zip(chunk, source, strict=True)
        ]
        for clean, other in pairs:
            if len(clean.ids) == len(other.ids):
                batch = batch_of([clean, other])
                for is_zero in (False, True):
                    change = _largest_change(checkpoint, batch, is_zero)
                    largest = np.maximum(largest, change)
    return largest


def _largest_change(
    checkpoint: Checkpoint, batch: TokenBatch, is_zero: bool
) -> np.ndarray:
    """Of the batch's first prompt, patched from its second or with zeros."""
    config, length = checkpoint.config, int(batch.lengths[0])
    before = range(-length, -1)
    plans = (
        sweeps.every_unit(Site.Z, config, offsets=before),
        sweeps.every_layer(Site.MLP_OUT, config, offsets=before),
    )
    sites = [plan.site for plan in plans]
    parameters, lengths = checkpoint.parameters, batch.lengths
    run = sweeps.prefill(
        parameters, batch.ids, lengths, config=config, suffix=length, sites=sites
    )
    clean = run.take(np.array([0]))
    read = functools.partial(
        sweeps.read_answers,
        parameters.unembed,
        answer_ids=batch.answer_ids[:1],
        config=config,
    )
    unpatched, _ = read(clean.final)
    by_node = []
    for plan in plans:
        source = run.activations[plan.site][:, None, 1:]  # [layer, prompt, source, …]
        source = jnp.zeros_like(source) if is_zero else source
        rows = sweeps.resume(parameters, clean, source, plan, config=config).final
        change = jnp.abs(read(rows)[0] - unpatched[:, None, None]).max(axis=-1)
        by_node.append(np.asarray(change).reshape(config.layers, -1))
    return np.concatenate(by_node, axis=1)
