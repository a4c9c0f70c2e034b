"""Small functions that name their values, as an author of a training codebase would."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name

LAYERS, ROWS, WIDTH, HIDDEN = 3, 2, 4, 5


def random(*shape: int, seed: int = 0, dtype: str = "float32"):
    values = np.random.default_rng(seed).normal(size=shape)
    return jnp.asarray(values, jnp.dtype(dtype))


def parameters(dtype: str = "float32"):
    return {
        "up": random(LAYERS, WIDTH, HIDDEN, seed=1, dtype=dtype),
        "down": random(LAYERS, HIDDEN, WIDTH, seed=2, dtype=dtype),
    }


def inputs(seed: int = 3, dtype: str = "float32"):
    return random(ROWS, WIDTH, seed=seed, dtype=dtype)


def layer(x, weights):
    hidden = checkpoint_name(jnp.tanh(x @ weights["up"]), "hidden")
    return checkpoint_name(x + hidden @ weights["down"], "resid")


def unrolled(weights, x):
    for index in range(LAYERS):
        x = layer(x, jax.tree.map(lambda leaf: leaf[index], weights))  # noqa: B023
    return x.sum(axis=1)


def scanned(weights, x, *, wrap=lambda function: function):
    step = wrap(lambda x, weights: (layer(x, weights), None))
    return jax.lax.scan(step, x, weights)[0].sum(axis=1)


saving_hidden = jax.checkpoint_policies.save_only_these_names("hidden")
LOOPED = {
    "scan": scanned,
    "scan of remat": partial(scanned, wrap=jax.checkpoint),
    "remat with a policy": partial(
        scanned, wrap=partial(jax.checkpoint, policy=saving_hidden)
    ),
    "remat without some inputs": jax.checkpoint(scanned, prevent_cse=(True, False)),
    "all at once": jax.jit(jax.checkpoint(partial(scanned, wrap=jax.jit))),
}


def by_hand(weights, x):
    """The hidden values and residuals of every layer, each [layer, row, ...]."""
    hiddens, residuals = [], []
    for up, down in zip(weights["up"], weights["down"], strict=True):
        hiddens.append(jnp.tanh(x @ up))
        x = x + hiddens[-1] @ down
        residuals.append(x)
    return {"hidden": jnp.stack(hiddens), "resid": jnp.stack(residuals)}
