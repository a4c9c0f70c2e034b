"""What a group of nodes does while another is resampled, or held as it is.

Total effects are of sets patched in the prompt's run: with the others free, with the
others kept at what the prompt has, and on top of the others patched. The direct effect
that is left is what the nodes still write, read by the prompt's own answers, in a run
in which the others alone are patched.
"""

import dataclasses
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mcq_jax import metrics, passes
from mcq_jax.experiments.node_effects import Bank, bank_of
from mcq_jax.interventions import Node
from mcq_jax.prompts import batch_of

if TYPE_CHECKING:
    from mcq_jax.experiments.lab import Lab


@dataclasses.dataclass(frozen=True, kw_only=True)
class Group:
    """Some nodes, and the others that they are tested against."""

    who: str
    others: str
    nodes: tuple[Node, ...]
    against: tuple[Node, ...]


def measure_mediation(lab: "Lab", groups: tuple[Group, ...]) -> dict[str, np.ndarray]:
    """The table `mediation`, `[prompt, group]`, with the groups' titles.

    Columns: `direct`, `total`; `direct_left` and `resampled` with the others patched,
    `held` with the others kept.
    """
    study, bank = lab.studied, bank_of(lab)
    made_of = {**study.identity, "groups": list(groups)}
    names = ("direct", "total", "direct_left", "resampled", "held")
    table = lab.table("mediation", made_of).complete(
        study.chunks,
        lambda chunk: _of_chunk(lab, bank, chunk, groups),
        lambda chunk, found: {"prompt": chunk, **dict(zip(names, found, strict=True))},
        track=lab.track("resampling and holding"),
    )
    order = np.argsort(table["prompt"])
    found = {name: table[name][order] for name in ("prompt", *names)}
    return found | {"titles": np.array([f"{g.who}|{g.others}" for g in groups])}


def _of_chunk(
    lab: "Lab", bank: Bank, chunk: np.ndarray, groups: tuple[Group, ...]
) -> tuple[Array, ...]:
    study = lab.studied
    config, parameters = lab.checkpoint.config, lab.checkpoint.parameters
    batch = batch_of([study.prompts[i] for i in chunk])
    start = passes.prefill(
        parameters, batch.ids, batch.lengths, config=config, repeats=len(study.chunks)
    )
    sources = bank.sources(study.sources.index[chunk, :1])
    shape, count = (config.layers, config.nodes), len(groups)
    nodes, against = (
        np.stack([_mask(getattr(g, name), shape, config.heads) for g in groups])
        for name in ("nodes", "against")
    )
    # Patched: the nodes; the others; both. Then the nodes with the others kept, for
    # which sources have what the prompt itself holds in front of their own.
    plan = passes.NodeSets(np.concatenate([nodes, against, nodes | against]))
    run = passes.resume(
        parameters, start, sources, plan, config=config, keep_nodes=True
    )
    assert run.nodes is not None
    both_held = {
        site: jnp.concatenate([start.nodes[site][:, :, None, None], held], axis=3)
        for site, held in sources.items()
    }
    kept = passes.resume(
        parameters, start, both_held, passes.NodeSets(nodes, kept=against),
        config=config,
    )  # fmt: skip
    gold = study.gold[chunk]

    def nets(final: Array) -> Float[Array, "prompt row"]:
        logits, _ = passes.read_answers(
            parameters.unembedding, final, batch.answer_ids, config=config,
            full_vocabulary=False,
        )  # fmt: skip
        return _net(logits, gold)

    free, alone, both = jnp.split(nets(run.final[:, 0]), 3, axis=1)
    clean = nets(start.final[:, None])
    readout = bank.readout_of(chunk)

    def written(of: dict) -> Float[Array, "prompt layer node choice"]:
        return passes.contributions(parameters, of, readout, config=config)[0]

    own = written(start.nodes)
    source = written(jax.tree.map(lambda a: a[:, :, 0, 0], sources))
    direct, left = [], []
    for at in range(count):
        row = jax.tree.map(lambda a: a[:, :, 0, count + at], run.nodes)  # noqa: B023
        for found, writes in ((direct, own), (left, written(row))):
            change = (writes - source)[:, nodes[at]].sum(axis=1)
            found.append(_net(change[:, None], gold)[:, 0])
    return (
        jnp.stack(direct, axis=1), clean - free, jnp.stack(left, axis=1), alone - both,
        clean - nets(kept.final[:, 0]),
    )  # fmt: skip


def _mask(nodes: tuple[Node, ...], shape: tuple[int, int], heads: int) -> np.ndarray:
    return metrics.node_mask(tuple((n.layer, n.column(heads)) for n in nodes), shape)


def _net(logits: Float[Array, "prompt row choice"], gold: np.ndarray) -> Array:
    over_rows = jnp.vectorize(metrics.net, signature="(c),()->()")
    return over_rows(logits, gold[:, None])
