"""One layer's feed-forward block (MLP), gated or plain."""

import jax
import jax.numpy as jnp
from jaxtyping import Array

from mcq_jax import axes
from mcq_jax.interventions import Site, Tap
from mcq_jax.model.arithmetic import contract
from mcq_jax.model.config import Activation, ModelConfig
from mcq_jax.model.weights import bias, matrix


def feedforward(x: axes.Residual, config: ModelConfig, tap: Tap) -> axes.Residual:
    """Returns what the block adds to the residual, before any norm of it."""
    activate = _ACTIVATIONS[config.activation]
    pre_activation = _read("up", x, config)
    if config.gated:
        gate = tap(Site.MLP_GATE, _read("gate", x, config))
        pre_activation = tap(Site.MLP_PRE, pre_activation)
        neurons = _in_float32(activate, gate) * pre_activation
    else:
        neurons = _in_float32(activate, tap(Site.MLP_PRE, pre_activation))
    neurons = tap(Site.MLP_POST, neurons)
    return _write("down", neurons, config)


def _read(name: str, x: axes.Residual, config: ModelConfig) -> axes.Neurons:
    weight = matrix(name, config.neurons, config.width)
    product = contract("pw,nw->pn", x, weight, precision=config.precision)
    return _with_bias(name, product, config)


def _write(name: str, neurons: axes.Neurons, config: ModelConfig) -> axes.Residual:
    weight = matrix(name, config.neurons, config.width)
    product = contract("pn,nw->pw", neurons, weight, precision=config.precision)
    return _with_bias(name, product, config)


def _with_bias(name: str, out: Array, config: ModelConfig) -> Array:
    if not config.mlp_bias:
        return out
    return out + bias(f"{name}_bias", out.shape[-1:], out.dtype)[None]


def _in_float32(activate, x: Array) -> Array:
    return activate(x.astype(jnp.float32)).astype(x.dtype)


_ACTIVATIONS = {
    Activation.SILU: jax.nn.silu,
    Activation.RELU: jax.nn.relu,
    Activation.GELU: lambda x: jax.nn.gelu(x, approximate=False),
    Activation.GELU_TANH: lambda x: jax.nn.gelu(x, approximate=True),
}
