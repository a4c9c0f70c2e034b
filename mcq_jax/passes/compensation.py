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
from mcq_jax.passes.resumed_pass import Resumed, resume


@dataclass(frozen=True)
class Compensation:
    """Ablated rows taken apart; > 0 is what an answer's logit loses, but in `later`."""

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
    run = _ablated(parameters, start, sources, plan, config)
    assert run.nodes is not None
    clean, _ = contributions(parameters, start.nodes, readout, config=config)
    stands_in = _read(
        parameters, {s: a[:, :, :, 0] for s, a in sources.items()}, readout, None,
        config=config,
    )  # fmt: skip
    scale = jnp.moveaxis(run.seen[0][..., 0, 0], 0, -1) if run.seen else None
    ablated = _read(parameters, run.nodes, readout, scale, config=config)
    masks = jnp.asarray(plan.masks)[None, None, ..., None]
    change = clean[:, None] - stands_in  # [prompt, source, layer, node, choice]
    direct = jnp.where(masks, change[:, :, None], 0)
    lost = start.final[:, None, None] - run.final
    return Compensation(
        direct=direct.sum(axis=(3, 4)),
        later=ablated - clean[:, None, None] + direct,
        frozen=jnp.einsum(
            "psrw,pcw->psrc", lost, readout.directions, precision="highest"
        ),
        free=_logits(parameters, start.final[:, None, None], answer_ids, config)
        - _logits(parameters, run.final, answer_ids, config),
    )


def _ablated(parameters, start, sources, plan, config: ModelConfig) -> Resumed:
    """The rows' runs, with what norms behind attention multiply by, if there are."""
    before_all = 0 if start.prefix is None else start.prefix.length
    last = jnp.asarray(np.asarray(start.answer_position) + before_all)[:, None]
    scale = [Capture(site=Site.ATTN_OUT_SCALE, positions=last)] * config.post_norm
    return resume(
        parameters, start, sources, plan, config=config, keep_nodes=True, capture=scale
    )


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
