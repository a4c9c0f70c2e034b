"""AdamW by optax, whose rates are arrays: models trained together have their own."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, ArrayLike, Float, Int

from mcq_jax.model import Parameters
from mcq_jax.parameter_table import parameter
from mcq_jax.training.config import Member, TrainingConfig


class TrainingState(NamedTuple):
    """All that a step changes. Of several models every array is `[model, …]`."""

    parameters: Parameters
    # Of optax.
    moments: Any


class Rates(NamedTuple):
    """What of a member the optimiser reads. Of several models `[model]`."""

    learning_rate: Float[Array, "*model"]
    weight_decay: Float[Array, "*model"]


def rates_of(members: tuple[Member, ...]) -> Rates:
    """Returns the rates of members, stacked."""
    return Rates(
        jnp.array([member.learning_rate for member in members], jnp.float32),
        jnp.array([member.weight_decay for member in members], jnp.float32),
    )


def start(parameters: Parameters, config: TrainingConfig) -> TrainingState:
    """Returns the state before the first step."""
    rates = Rates(jnp.float32(0), jnp.float32(0))
    return TrainingState(parameters, _adamw(rates, config).init(parameters))


def update(
    state: TrainingState,
    gradients: Parameters,
    step: Int[Array, ""],
    rates: Rates,
    config: TrainingConfig,
) -> TrainingState:
    """Returns the state after a step, which is counted from 0."""
    now = rates.learning_rate * schedule(config)(step)
    now = Rates(now, rates.weight_decay)
    with jax.numpy_dtype_promotion("standard"):  # optax counts steps in whole numbers
        changes, moments = _adamw(now, config).update(
            gradients, state.moments, state.parameters
        )
    changed = jax.tree.map(jnp.add, state.parameters, changes)
    return TrainingState(changed, moments)


def schedule(config: TrainingConfig) -> Callable[[ArrayLike], Array]:
    """Returns what the learning rate is multiplied by, as a function of the step."""
    if config.schedule == "cosine":
        falling = optax.cosine_decay_schedule(
            1.0, max(config.steps - config.warm_up, 1)
        )
    else:
        falling = optax.constant_schedule(1.0)
    dropping = optax.piecewise_constant_schedule(1.0, dict(config.drops))

    def factor(step: ArrayLike) -> Array:
        step = jnp.asarray(step)
        # The first step is no step of length 0.
        rising = jnp.minimum((step + 1) / max(config.warm_up, 1), 1.0)
        rising *= dropping(step)
        if config.decay_from is None:
            return rising * falling(jnp.maximum(step - config.warm_up, 0))
        left = (config.steps - step) / (config.steps - config.decay_from)
        return rising * jnp.clip(left, 0.0, 1.0)

    return factor


def _adamw(rates: Rates, config: TrainingConfig) -> optax.GradientTransformation:
    return optax.chain(
        optax.clip_by_global_norm(config.largest_gradient),
        optax.scale_by_adam(config.beta1, config.beta2, config.epsilon),
        optax.add_decayed_weights(rates.weight_decay, mask=decayed),
        optax.scale(-rates.learning_rate),
    )


def decayed(parameters: Parameters) -> Any:
    """Returns which parameters weight decay is for: the matrices of layers."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: parameter(path[-1].key).is_matrix, parameters
    )
