"""Whether patches move their own sites: one that does not finds nothing, silently."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Int

from mcq_jax.interventions import Site
from mcq_jax.passes.plan import Plan
from mcq_jax.sweeps.sources import Sources


def check_that_patches_move(
    found: Bool[np.ndarray, "prompt source row"], sources: Sources
) -> None:
    """Raises ValueError where a source changes nothing under any row."""
    still = np.argwhere(~found.any(axis=2))
    if len(still):
        prompt, kind = still[0]
        raise ValueError(
            f"prompt {prompt} and its source {sources.index[prompt, kind]} "
            f"({sources.kinds[kind]}) hold the same wherever the plan patches: nothing "
            "would change. Choose another."
        )


def moved(
    held: Mapping[Site, np.ndarray],
    plan: Plan,
    index: Int[np.ndarray, "prompt source"],
) -> Bool[np.ndarray, "prompt source row"]:
    """Returns whether a row's source holds anything else at what it patches.

    Args:
        held: what the plan's sites hold, `[layer, prompt, *site axes]`.
        index: the prompt that each source is.
    """
    found = [
        [
            plan.differs(held, prompt, source, number)
            for number, source in enumerate(row)
        ]
        for prompt, row in enumerate(index.tolist())
    ]
    return np.array(found)
