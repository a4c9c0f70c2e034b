"""Which nodes matter before the answer position: each patched at all earlier tokens.

By plain full passes with per-row edits, so for small models only: resuming rows over
whole prompts would halve the work and compile a program for every length. It finds what
no patch at the last token can: heads that mark options or count lines on the way.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from mcq_jax.checkpoints import Checkpoint
from mcq_jax.experiments.progress import Progress
from mcq_jax.experiments.study import Study
from mcq_jax.interventions import Edit, Site, patch
from mcq_jax.model import forward
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
    config = checkpoint.config
    last = int(batch.lengths[0]) - 1
    patched, clean = _patch_all(
        checkpoint.parameters, jnp.asarray(batch.ids), last, is_zero, config=config
    )
    ids = batch.answer_ids[0]
    change = np.abs(np.asarray(patched)[:, ids] - np.asarray(clean)[ids])
    return change.max(axis=1).reshape(config.layers, config.nodes)


@functools.partial(jax.jit, static_argnames=("config",))
def _patch_all(parameters, tokens, last, is_zero, *, config):
    """Last-token logits with each node patched before `last`, and without."""
    sites = (Site.Z, Site.MLP_OUT)
    source = forward(parameters, tokens[1:], config=config, capture=sites).activations
    source = jax.tree.map(lambda a: jnp.where(is_zero, 0.0, a), source)
    clean = forward(parameters, tokens[:1], config=config).logits[0, last]
    rows = config.layers * config.nodes
    mask = jnp.eye(rows).reshape(rows, config.layers, config.nodes)
    mask = jnp.moveaxis(mask, 0, 1)[:, :, None]  # [layer, row, 1, node]
    before = jnp.arange(tokens.shape[1]) < last
    mask = jnp.where(before[None, None, :, None], mask, 0.0)
    heads = mask[..., :-1].reshape(*mask.shape[:3], config.kv_heads, config.group, 1)
    layers = range(config.layers)
    edits: tuple[Edit, ...] = (
        patch(Site.Z, source[Site.Z], layers=layers, weight=heads),
        patch(Site.MLP_OUT, source[Site.MLP_OUT], layers=layers, weight=mask[..., -1:]),
    )
    repeated = jnp.broadcast_to(tokens[:1], (rows, tokens.shape[1]))
    return forward(parameters, repeated, edits, config=config).logits[:, last], clean
