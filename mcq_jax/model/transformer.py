"""The transformer on one screen: embed, layer, unembed. Read this file first.

Three pure functions of parameters and arrays, written for one sequence. The full pass
(`mcq_jax.model.run`) and the resumed pass (`mcq_jax.passes.resumed_pass`) batch and
loop them; there is no other forward pass. Every `tap(Site.X, x)` is a place where an
activation can be changed or kept; what was kept is returned beside the result.
"""

from collections.abc import Callable, Sequence
from typing import Any

import haiku as hk
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mcq_jax import axes
from mcq_jax.interventions import Capture, Edit, Site, Tap
from mcq_jax.model.arithmetic import contract, scaled, soft_cap, widened
from mcq_jax.model.attention import attention
from mcq_jax.model.blocks import Block
from mcq_jax.model.config import ModelConfig
from mcq_jax.model.constants import LayerConstants
from mcq_jax.model.feedforward import feedforward
from mcq_jax.model.int8 import dequantise
from mcq_jax.model.norms import norm, norm_before, norm_behind
from mcq_jax.model.positions import Places
from mcq_jax.model.weights import matrix

Index = Int[Array, " position"]
Edits = Sequence[Edit]
Captures = Sequence[Capture]
# An array for every capture; None where its site is elsewhere.
Captured = list[Any]


def _embed(
    tokens: Index,
    positions: Index,
    edits: Edits,
    capture: Captures,
    config: ModelConfig,
) -> tuple[axes.Residual, Captured]:
    tap = Tap(edits, capture)
    table = matrix("table", config.vocabulary, config.width)
    x = tap(Site.EMBED, scaled(table[tokens], config.embedding_scale))
    if config.learned_positions:
        table = matrix("position_table", config.context, config.width)
        x = x + tap(Site.POS_EMBED, table[positions])
    return x, tap.captured


def _layer(
    x: axes.Residual,
    blocks: tuple[Block, ...],
    places: Places,
    constants: LayerConstants,
    edits: Edits,
    capture: Captures,
    config: ModelConfig,
) -> tuple[axes.Residual, Block, Captured]:
    tap = Tap(edits, capture, constants.layer)
    x = tap(Site.RESID_PRE, x)

    with hk.experimental.name_scope("attention"):
        h = tap(Site.ATTN_IN, norm_before(x, config, tap, Site.ATTN_SCALE))
        out, own = attention(h, blocks, places, constants, config, tap)
        out = tap(Site.ATTN_OUT, norm_behind(out, config, tap, Site.ATTN_OUT_SCALE))
    mid = tap(Site.RESID_MID, x + out)

    with hk.experimental.name_scope("feedforward"):
        x = x if config.parallel else mid
        h = tap(Site.MLP_IN, norm_before(x, config, tap, Site.MLP_SCALE))
        out = feedforward(h, config, tap)
        out = tap(Site.MLP_OUT, norm_behind(out, config, tap, Site.MLP_OUT_SCALE))
    x = tap(Site.RESID_POST, mid + out)
    return x, own, tap.captured


def _unembed(
    x: axes.Residual, edits: Edits, capture: Captures, config: ModelConfig
) -> tuple[Float[Array, "position vocabulary"], Captured]:
    tap = Tap(edits, capture)
    x = tap(Site.FINAL_RESID, x)
    h = norm(config.norm, x, config, tap, Site.FINAL_SCALE)
    h = tap(Site.FINAL_NORM, h)
    table = matrix("table", config.vocabulary, config.width)
    logits = contract(
        "pw,vw->pv", h, table, out=jnp.float32, precision=config.precision
    )
    logits = tap(Site.LOGITS, soft_cap(logits, config.logit_cap))
    return logits, tap.captured


def _function(part: Callable) -> hk.Transformed:
    """A Haiku transform without randomness: `init(key, …)`, `apply(parameters, …)`."""
    inner = hk.without_apply_rng(hk.transform(part))

    def apply(parameters, *inputs, **named):
        weights = widened(dequantise(parameters), inputs[0].dtype)
        return inner.apply(weights, *inputs, **named)

    return hk.Transformed(inner.init, apply)


# Each is called as f.apply(parameters, …) with the arguments above.
embed = _function(_embed)
layer = _function(_layer)
unembed = _function(_unembed)
