"""Which nodes matter before the answer position: each patched at all earlier tokens.

By plain full passes with per-row edits, so for small models only: resuming rows over
whole prompts would halve the work and compile a program for every length. It finds what
no patch at the last token can: heads that mark options or count lines on the way.
"""

import dataclasses
import functools
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mcq_jax import sharding
from mcq_jax.checkpoints import Checkpoint
from mcq_jax.experiments.experiment import Experiment
from mcq_jax.experiments.prompt_options import check_at_least
from mcq_jax.experiments.study import Study
from mcq_jax.interventions import Edit, Site, all_nodes, patch
from mcq_jax.model import forward, work
from mcq_jax.prompts import TokenBatch, batch_of
from mcq_jax.results import EarlierPositionsFindings

if TYPE_CHECKING:
    from mcq_jax.experiments.lab import Lab


@dataclasses.dataclass(frozen=True, kw_only=True)
class EarlierPositions(Experiment):
    """Patches every node at all earlier positions, by full passes.

    Costs nodes × questions passes: for small models.
    """

    name = "earlier_positions"
    findings = EarlierPositionsFindings
    needs = ("behaviour",)

    # Of how many questions.
    questions: int = 6

    def __post_init__(self):
        check_at_least(self, 1, "questions")

    def run(self, lab: "Lab") -> EarlierPositionsFindings:
        change, model = changes_of(lab, self.questions), lab.checkpoint.config
        nodes = all_nodes(model.layers, model.heads)
        return EarlierPositionsFindings(
            nodes=tuple(map(str, nodes)),
            largest_change=tuple(
                float(change[n.layer, n.column(model.heads)]) for n in nodes
            ),
            questions=min(self.questions, len(lab.studied.chunks)),
        )


def changes_of(lab: "Lab", questions: int) -> Float[np.ndarray, "layer node"]:
    """Returns the largest change of an answer logit over prompts, per node, in logits.

    Each node is resampled from a source of the first kind, aligned token by token
    (prompts whose source has another length are passed over), and also set to zero:
    a head that counts lines writes the same in every prompt, so no source exposes it.
    """
    checkpoint, study = lab.checkpoint, lab.studied
    chunks = study.chunks[:questions]
    kept = lab.table("earlier_positions", {**study.identity, "chunks": list(chunks)})
    table = kept.complete(
        chunks,
        lambda chunk: jnp.stack([_change_of(checkpoint, study, i) for i in chunk]),
        lambda chunk, change: {"prompt": chunk, "largest_change": change},
        track=lab.track("patching earlier tokens"),
    )
    return table["largest_change"].max(axis=0)


def _change_of(
    checkpoint: Checkpoint, study: Study, prompt: int
) -> Float[Array, "layer node"]:
    """Of one prompt; 0 where its source has another length."""
    config = checkpoint.config
    clean, other = (study.prompts[i] for i in (prompt, study.sources.index[prompt, 0]))
    if len(clean.ids) != len(other.ids):
        return jnp.zeros((config.layers, config.nodes))
    batch = batch_of([clean, other])
    resampled, zeroed = (
        _largest_change(checkpoint, batch, is_zero) for is_zero in (False, True)
    )
    return jnp.maximum(resampled, zeroed)


def _largest_change(
    checkpoint: Checkpoint, batch: TokenBatch, is_zero: bool
) -> Float[Array, "layer node"]:
    config = checkpoint.config
    last = int(batch.lengths[0]) - 1
    patched, clean = _patch_all(
        checkpoint.parameters, jnp.asarray(batch.ids), last, is_zero, config=config
    )
    rows, length = config.layers * config.nodes + 2, batch.ids.shape[1]
    for note in (work.note_prompts, work.note_full_passes):
        note(patched, rows=rows, tokens=length, layers=config.layers)
    work.note_unembedded(patched, tokens=rows * length, of_rows=False)
    ids = batch.answer_ids[0]
    change = jnp.abs(patched[:, ids] - clean[ids][None])
    return change.max(axis=1).reshape(config.layers, config.nodes)


@functools.partial(jax.jit, static_argnames=("config",))
def _patch_all(parameters, tokens, last, is_zero, *, config):
    """Last-token logits with each node patched before `last`, and without."""
    sites = (Site.Z, Site.MLP_OUT)
    source = forward(parameters, tokens[1:], config=config, capture=sites).activations
    source = jax.tree.map(lambda a: jnp.where(is_zero, 0.0, a), source)
    clean = forward(parameters, tokens[:1], config=config).logits[0, last]
    rows = config.layers * config.nodes
    # Rows to go round the data axis; those beyond the last node patch nothing.
    count = len(sharding.fill_data_axis(np.arange(rows)))
    mask = jnp.eye(count, rows).reshape(count, config.layers, config.nodes)
    mask = jnp.moveaxis(mask, 0, 1)[:, :, None]  # [layer, row, 1, node]
    before = jnp.arange(tokens.shape[1]) < last
    mask = jnp.where(before[None, None, :, None], mask, 0.0)
    heads = mask[..., :-1].reshape(*mask.shape[:3], config.kv_heads, config.group, 1)
    layers = range(config.layers)
    edits: tuple[Edit, ...] = (
        patch(Site.Z, source[Site.Z], layers=layers, weight=heads),
        patch(Site.MLP_OUT, source[Site.MLP_OUT], layers=layers, weight=mask[..., -1:]),
    )
    repeated = jnp.broadcast_to(tokens[:1], (count, tokens.shape[1]))
    patched = forward(parameters, repeated, edits, config=config).logits[:rows, last]
    return patched, clean
