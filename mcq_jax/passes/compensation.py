"""What later nodes write to make up for nodes that are ablated: self-repair.

At the answer position, in the logits of a prompt's answers (before any cap), the norms
held at the scale that they have in the prompt as it is:

    direct    what the ablated nodes wrote, less what stands in for it
    later_m   what node m writes in the ablated run, less what it wrote
    frozen    direct - sum of later_m: what is lost in the end, exactly
    free      the same with the final norm at its own scale in the ablated run
"""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from mcq_jax.axes import AnyArray
from mcq_jax.interventions import Capture, Site
from mcq_jax.model.config import ModelConfig
from mcq_jax.model.parameters import Parameters
from mcq_jax.passes.anatomy import Readout, answer_readout, contributions
from mcq_jax.passes.answers import read_answers
from mcq_jax.passes.node_sets import NodeSets
from mcq_jax.passes.plan import Held
from mcq_jax.passes.prompt_pass import Prefill
from mcq_jax.passes.resumed_pass import resume


@dataclass(frozen=True)
class Compensation:
    """Ablated rows taken apart, in logits: > 0 is a loss (in `later` a gain)."""

    direct: Float[Array, "prompt source row choice"]
    # > 0: the node writes more for the answer than it did.
    later: Float[Array, "prompt source row layer node choice"]
    frozen: Float[Array, "prompt source row choice"]
    free: Float[Array, "prompt source row choice"]


def compensate(
    parameters: Parameters,
    start: Prefill,
    sources: Held,
    plan: NodeSets,
    answer_ids: Int[AnyArray, "prompt choice"],
    *,
    config: ModelConfig,
) -> Compensation:
    """Ablates every row's nodes by every source; one resumed pass for all of them.

    Args:
        sources: what stands in, `[layer, prompt, source, 1, …]` at `Z` and `MLP_OUT`:
            what another prompt writes, a mean, zeros.
    """
    readout = answer_readout(parameters, start, answer_ids, config=config)
    clean, _ = contributions(parameters, start.nodes, readout, config=config)
    stands_in = _read(
        parameters, {s: a[:, :, :, 0] for s, a in sources.items()}, readout, None,
        config=config,
    )  # fmt: skip
    change = clean[:, None] - stands_in  # [prompt, source, layer, node, choice]
    groups = _by_birth(plan)
    runs = [
        _ablated(parameters, start, sources, plan.take(rows), readout, config)
        for rows in groups
    ]
    back = np.argsort(np.concatenate(groups))
    final, ablated = (
        jnp.concatenate(parts, axis=2)[:, :, back] for parts in zip(*runs, strict=True)
    )
    masks = jnp.asarray(plan.masks)[None, None, ..., None]
    direct = jnp.where(masks, change[:, :, None], 0)
    lost = start.final[:, None, None] - final
    return Compensation(
        direct=direct.sum(axis=(3, 4)),
        later=ablated - clean[:, None, None] + direct,
        frozen=jnp.einsum(
            "psrw,pcw->psrc", lost, readout.directions, precision="highest"
        ),
        free=_logits(parameters, start.final[:, None, None], answer_ids, config)
        - _logits(parameters, final, answer_ids, config),
    )


def _by_birth(plan: NodeSets) -> list[Int[np.ndarray, " row"]]:
    """Rows by the quarter of the layers in which their first ablated node is.

    Rows of one pass run from the first layer captured in any of them: late ones would
    run early layers for nothing.
    """
    quarter = plan.births * 4 // plan.masks.shape[1]
    return [np.flatnonzero(quarter == which) for which in np.unique(quarter)]


def _ablated(
    parameters, start: Prefill, sources, plan: NodeSets, readout: Readout, config
) -> tuple[Array, Array]:
    """The rows' last residuals, and what nodes contribute in them.

    Layers before the first that any row changes are the prompt's own, and not run.
    """
    first = int(plan.births.min())
    before_all = 0 if start.prefix is None else start.prefix.length
    last = jnp.asarray(np.asarray(start.answer_position) + before_all)[:, None]
    sites = [Site.Z, Site.MLP_OUT, *[Site.ATTN_OUT_SCALE] * config.post_norm]
    run = resume(
        parameters, start, sources, plan, config=config,
        capture=[
            Capture(site=site, layers=tuple(range(first, config.layers)),
                positions=last)
            for site in sites
        ],
    )  # fmt: skip
    # [layer, prompt, source, row, …], without the axis of positions.
    z, mlp, *scale = (
        jnp.take(seen, 0, axis=4 + site.position_axis)
        for site, seen in zip(sites, run.seen, strict=True)
    )
    nodes = {
        site: _behind(start.nodes[site][:first], seen)
        for site, seen in ((Site.Z, z), (Site.MLP_OUT, mlp))
    }
    of_norms = None
    if scale:
        whole = _behind(start.head_scale[:first], scale[0][..., 0])
        of_norms = jnp.moveaxis(whole, 0, -1)
    found = _read(parameters, nodes, readout, of_norms, config=config)
    return run.final, found


def _behind(own: Array, seen: Array) -> Array:
    """The prompts' own `[layer, prompt, …]` in front of what rows have."""
    shape = (len(own), *seen.shape[1:])
    own = own.reshape(*own.shape[:2], 1, 1, *own.shape[2:])
    return jnp.concatenate([jnp.broadcast_to(own, shape), seen])


def _read(
    parameters, nodes: Held, readout: Readout, scale: Array | None, *, config
) -> Float[Array, "prompt *rows layer node choice"]:
    """What nodes `[layer, prompt, *rows, …]` contribute to their prompts' answers.

    Args:
        scale: of the norms behind attention, `[prompt, *rows, layer]`; where left out
            the prompts' own.
    """
    shape = nodes[Site.MLP_OUT].shape[1:-1]
    rows = int(np.prod(shape[1:]))
    flat = jax.tree.map(
        lambda a: a.reshape(a.shape[0], -1, *a.shape[1 + len(shape) :]), nodes
    )
    spread = jax.tree.map(lambda a: jnp.repeat(jnp.asarray(a), rows, axis=0), readout)
    if scale is not None:
        spread = replace(spread, head_scale=scale.reshape(-1, scale.shape[-1]))
    found, _ = contributions(parameters, flat, spread, config=config)
    return found.reshape(*shape, *found.shape[1:])


def _logits(parameters, final, answer_ids, config: ModelConfig) -> Array:
    """Logits of the answers before any cap."""
    logits, _ = read_answers(
        parameters.unembedding, final, answer_ids,
        config=replace(config, logit_cap=None), full_vocabulary=False,
    )  # fmt: skip
    return logits
