"""The same rows by full forward passes: the oracle of the resumed pass.

Slow, and free of its assumptions: whatever a patch changes, a full pass shows.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from mcq_jax import sharding
from mcq_jax.axes import AnyArray
from mcq_jax.interventions import Capture, Site
from mcq_jax.model import ModelConfig, Parameters, forward
from mcq_jax.passes.plan import Held, Plan


def run_fully(
    parameters: Parameters,
    tokens: Int[AnyArray, "prompt position"],
    lengths: Int[AnyArray, " prompt"],
    sources: Held,
    plan: Plan,
    *,
    config: ModelConfig,
) -> Float[Array, "prompt source row width"]:
    """Returns what `resume` returns as `final`, one full forward pass per row.

    Arguments are those of `resume`, with tokens in place of a pass over them.
    """
    lengths = np.asarray(lengths)
    births = plan.births
    count = next(iter(sources.values())).shape[2]
    final = np.zeros((len(lengths), count, len(births), config.width), np.float32)
    for prompt, length in enumerate(lengths):
        for source in range(count):
            for batch in plan.full_edits(sources, prompt, source, length, config):
                rows = (len(batch.rows), tokens.shape[1])
                repeated = jnp.broadcast_to(jnp.asarray(tokens)[prompt], rows)
                at_answer = Capture(
                    site=Site.FINAL_RESID, positions=jnp.array([[length - 1]])
                )
                run = forward(
                    parameters,
                    repeated,
                    batch.edits,
                    config=config,
                    capture=[at_answer],
                )
                found = run.activations[Site.FINAL_RESID][:, 0]
                final[prompt, source, batch.rows] = sharding.on_every_host(found)
    return jnp.asarray(final)
