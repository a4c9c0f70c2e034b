"""`prefill`: run each prompt once and keep what resumed rows start from."""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from mcq_jax.axes import AnyArray
from mcq_jax.interventions import Capture, Site
from mcq_jax.model.attention import Block
from mcq_jax.model.config import ModelConfig
from mcq_jax.model.parameters import Parameters
from mcq_jax.passes.answers import pick_position
from mcq_jax.passes.prefix_tree import levels_of
from mcq_jax.passes.shared_prefix import Prefix
from mcq_jax.passes.tree_pass import run_tree

# What a key that is out of sight has.
_UNSEEN = {Site.SCORES: -jnp.inf, Site.PATTERN: 0.0}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Prefill:
    """One pass over a batch of prompts.

    The last `suffix` tokens of each prompt are kept in every layer: a row whose patches
    begin among them can be resumed from there. Counted from the end, -1 is the answer
    position, whatever a prompt's length.
    """

    # Keys and values of all tokens, `[n, prompt, key, …]` per segment; without those of
    # the prefix.
    blocks: tuple[Block, ...]
    # The answer position of each prompt: its last token, counted behind any prefix.
    answer_position: Int[Array, " prompt"]
    resid_pre: Float[Array, "layer prompt suffix width"]
    # Sites asked for, `[layer, prompt, *site axes]`, their positions being the suffix.
    activations: dict[Site, Array]
    # The rest is at the answer position.
    embedding: Float[Array, "prompt width"]
    # What every node writes: of Z and MLP_OUT, without their position axis.
    nodes: dict[Site, Array]
    pattern: Float[Array, "layer prompt kv_head group key"]
    # What the norm behind attention multiplies by; 1 without one.
    head_scale: Float[Array, "layer prompt"]
    final: Float[Array, "prompt width"]
    # What comes before the tokens of all prompts, if it was run by itself.
    prefix: Prefix | None = None

    @property
    def suffix(self) -> int:
        """How many tokens at the end of each prompt are kept."""
        return self.resid_pre.shape[2]

    def take(self, prompts: Int[np.ndarray, " prompt"]) -> "Prefill":
        """Returns the same for some of the prompts, in the order given."""
        return _take(self, jnp.asarray(prompts))


@jax.jit  # one program in place of one for each array
def _take(start: Prefill, prompts: Int[Array, " prompt"]) -> Prefill:
    def of(arrays, axis: int):
        return jax.tree.map(lambda a: jnp.take(a, prompts, axis=axis), arrays)

    return dataclasses.replace(
        start,
        blocks=of(start.blocks, 1),
        answer_position=of(start.answer_position, 0),
        resid_pre=of(start.resid_pre, 1),
        activations=of(start.activations, 1),
        embedding=of(start.embedding, 0),
        nodes=of(start.nodes, 1),
        pattern=of(start.pattern, 1),
        head_scale=of(start.head_scale, 1),
        final=of(start.final, 0),
    )


def prefill(
    parameters: Parameters,
    tokens: Int[AnyArray, "prompt position"],
    lengths: Int[AnyArray, " prompt"],
    *,
    config: ModelConfig,
    suffix: int = 1,
    sites: Sequence[Site] = (),
    prefix: Prefix | None = None,
    activations: jnp.dtype | None = None,
    repeats: int = 1,
) -> Prefill:
    """Runs right-padded prompts and keeps what rows are resumed and patched from.

    What prompts have in common, such as a question's rotations, is run once where that
    pays (`prefix_tree`); what is returned is the same.

    Args:
        suffix: how many tokens at the end of each prompt to keep; none may be shorter.
        sites: whose activations to keep there, as sources of patches.
        prefix: what comes before all prompts and was run already; tokens and lengths
            are those behind it.
        activations: type of everything that flows between weights, if not theirs; rows
            resumed from this pass have it too.
        repeats: how often a pass like this will be run.
    """
    if suffix > 1 and suffix > int(np.min(lengths)):
        raise ValueError(
            f"the last {suffix} tokens of every prompt are to be kept, and one has "
            f"{int(np.min(lengths))}; patch fewer positions, or leave it out."
        )
    levels = levels_of(tokens, lengths, config, own=suffix, repeats=repeats)
    # Within the last level, which holds the suffix of every prompt.
    at_answer = jnp.asarray(levels[-1].lengths)[:, None] - 1
    in_suffix = at_answer - jnp.arange(suffix)[None, ::-1]
    last = (Site.Z, Site.MLP_OUT, Site.PATTERN)
    last += (Site.ATTN_OUT_SCALE,) * config.post_norm
    kept = (Site.RESID_PRE, *sites)
    capture = [Capture(site=site, positions=in_suffix) for site in kept]
    capture += [Capture(site=site, positions=at_answer) for site in last]
    run = run_tree(
        parameters, levels, config=config, capture=capture, keep_blocks=True,
        prefix=prefix, activations=activations,
    )  # fmt: skip
    prompts, width = tokens.shape
    captured = [
        run.by_key(array, width, _UNSEEN[site]) if site.key_axes else array
        for site, array in zip((*kept, *last), run.layers.captured, strict=True)
    ]
    before = dict(zip(kept, captured, strict=False))
    at_end = dict(zip(last, captured[len(kept) :], strict=True))
    scale = jnp.ones((config.layers, prompts))
    if config.post_norm:
        scale = at_end[Site.ATTN_OUT_SCALE][:, :, 0, 0]
    return Prefill(
        blocks=run.blocks(width),
        answer_position=jnp.asarray(lengths) - 1,
        resid_pre=before[Site.RESID_PRE],
        activations={site: before[site] for site in sites},
        embedding=pick_position(run.embedded, at_answer[:, 0]),
        nodes={site: at_end[site][:, :, 0] for site in (Site.Z, Site.MLP_OUT)},
        pattern=at_end[Site.PATTERN][:, :, :, :, 0],
        head_scale=scale,
        final=pick_position(run.layers.residual, at_answer[:, 0]),
        prefix=prefix,
    )
