"""The transformer on one screen: embed, layer, unembed. Read this file first.

Three pure functions of parameters and arrays, written for one sequence. The full
pass (`mcq_jax.model.run`) and the resumed pass (`mcq_jax.sweeps.resumed_pass`) batch
and loop them; there is no other forward pass. Every `tap(Site.X, x)` is a place
where an activation can be changed or kept.
"""

import haiku as hk
import jax.numpy as jnp

from mcq_jax.interventions import Site, Tap
from mcq_jax.model.arithmetic import contract
from mcq_jax.model.attention import attention
from mcq_jax.model.feedforward import feedforward
from mcq_jax.model.int8 import dequantise
from mcq_jax.model.norms import norm


def _embed(tokens, edits, capture, config):
    tap = Tap(edits, capture)
    return tap(Site.EMBED, _table(config)[tokens]), tap.captured


def _layer(x, blocks, positions, constants, edits, capture, config):
    tap = Tap(edits, capture, constants.layer)
    x = tap(Site.RESID_PRE, x)

    with hk.experimental.name_scope("attention"):
        h = tap(Site.ATTN_IN, norm("norm", x, config, tap, Site.ATTN_SCALE))
        out, own = attention(h, blocks, positions, constants.frequencies, config, tap)
    x = tap(Site.RESID_MID, x + out)

    with hk.experimental.name_scope("feedforward"):
        h = tap(Site.MLP_IN, norm("norm", x, config, tap, Site.MLP_SCALE))
        out = feedforward(h, config, tap)
    x = tap(Site.RESID_POST, x + out)
    return x, own, tap.captured


def _unembed(x, edits, capture, config):
    tap = Tap(edits, capture)
    x = tap(Site.FINAL_RESID, x)
    h = tap(Site.FINAL_NORM, norm("norm", x, config, tap, Site.FINAL_SCALE))
    logits = contract("pw,vw->pv", h, _table(config), out=jnp.float32)
    return tap(Site.LOGITS, logits), tap.captured


def _table(config):
    shape = (config.vocabulary, config.width)
    return hk.get_parameter("table", shape, init=hk.initializers.RandomNormal(0.05))


def _function(part):
    """A Haiku transform without randomness: `init(key, …)`, `apply(parameters, …)`."""
    inner = hk.without_apply_rng(hk.transform(part))

    def apply(parameters, *inputs, **named):
        return inner.apply(dequantise(parameters), *inputs, **named)

    return hk.Transformed(inner.init, apply)


# Each is called as f.apply(parameters, …); shapes as in `axes`, for one sequence.
embed = _function(_embed)  # tokens [position] -> residual, captured
layer = _function(_layer)  # residual, blocks, … -> residual, own block, captured
unembed = _function(_unembed)  # residual -> logits [position, vocabulary], captured
