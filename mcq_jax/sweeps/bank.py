"""`Bank`: what the patched sites hold in every prompt, each other's sources."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mcq_jax import prompts, sharding
from mcq_jax.interventions import Site
from mcq_jax.passes.plans import Patches, Plan
from mcq_jax.passes.prompt_pass import prefill
from mcq_jax.passes.shared_prefix import Prefix


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bank:
    """What the patched sites hold in every prompt, and how each answers."""

    # `[layer, prompt, …]`; of sets of nodes what they write, else the site.
    held: Any
    final: np.ndarray  # [prompt, width]


def fill_bank(
    parameters,
    asked,
    plan: Plan,
    config,
    at_once: int,
    *,
    prefix: Prefix | None = None,
    activations: jnp.dtype | None = None,
) -> Bank:
    """Runs every prompt (behind the prefix) and keeps what sources may need."""
    sites = plan.sites if isinstance(plan, Patches) else ()
    held, final = [], []
    for first in range(0, len(asked), at_once):
        chunk = np.arange(first, min(first + at_once, len(asked)))
        batch = prompts.batch_of([asked[i] for i in sharding.fill_data_axis(chunk)])
        run = prefill(
            parameters, batch.ids, batch.lengths, config=config,
            suffix=plan.suffix, sites=sites, prefix=prefix, activations=activations,
        )  # fmt: skip
        one = run.activations[plan.site] if isinstance(plan, Patches) else run.nodes
        one, last = sharding.on_every_host((one, run.final))
        held.append(jax.tree.map(lambda a: a[:, : len(chunk)], one))  # noqa: B023
        final.append(last[: len(chunk)])
    if sites == (Site.PATTERN,):
        held = _padded_keys(held)
    join = functools.partial(np.concatenate, axis=1)
    return Bank(
        held=jax.tree.map(lambda *parts: join(parts), *held),
        final=np.concatenate(final),
    )


def _padded_keys(held: list[np.ndarray]) -> list[np.ndarray]:
    """Patterns of differently padded batches, to one number of keys."""
    keys = max(a.shape[-1] for a in held)
    return [
        np.pad(a, [(0, 0)] * (a.ndim - 1) + [(0, keys - a.shape[-1])]) for a in held
    ]
