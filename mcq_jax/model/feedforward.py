"""One layer's feed-forward block (MLP), gated or plain."""

import haiku as hk
import jax
import jax.numpy as jnp
from jaxtyping import Array

from mcq_jax import axes
from mcq_jax.interventions import Site, Tap
from mcq_jax.model.arithmetic import contract
from mcq_jax.model.config import Activation, ModelConfig


def feedforward(x: axes.Residual, config: ModelConfig, tap: Tap) -> axes.Residual:
    """Returns what the block adds to the residual, before any norm of it."""
    activate = _ACTIVATIONS[config.activation]
    pre_activation = _linear("up", x, config.neurons, config.mlp_bias)
    if config.gated:
        gate = tap(Site.MLP_GATE, _linear("gate", x, config.neurons, config.mlp_bias))
        pre_activation = tap(Site.MLP_PRE, pre_activation)
        neurons = _in_float32(activate, gate) * pre_activation
    else:
        neurons = _in_float32(activate, tap(Site.MLP_PRE, pre_activation))
    neurons = tap(Site.MLP_POST, neurons)
    return _linear("down", neurons, config.width, config.mlp_bias)


def _linear(name: str, x: Array, width: int, has_bias: bool) -> Array:
    shape = (x.shape[-1], width)
    weight = hk.get_parameter(name, shape, init=hk.initializers.RandomNormal(0.05))
    out = contract("pw,wn->pn", x, weight)
    if has_bias:
        bias = hk.get_parameter(f"{name}_bias", (width,), x.dtype, init=jnp.zeros)
        out = out + bias[None]
    return out


def _in_float32(activate, x: Array) -> Array:
    return activate(x.astype(jnp.float32)).astype(x.dtype)


_ACTIVATIONS = {
    Activation.SILU: jax.nn.silu,
    Activation.RELU: jax.nn.relu,
    Activation.GELU: lambda x: jax.nn.gelu(x, approximate=False),
    Activation.GELU_TANH: lambda x: jax.nn.gelu(x, approximate=True),
}
