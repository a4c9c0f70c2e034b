"""`Bank`: what the patched sites hold in every prompt, each other's sources."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from mcq_jax import prompts, sharding
from mcq_jax.interventions import Site
from mcq_jax.passes.plan import Plan
from mcq_jax.passes.prompt_pass import Prefill, prefill
from mcq_jax.passes.shared_prefix import Prefix


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bank:
    """What the patched sites hold in every prompt, and how each answers."""

    # The plan's sites over its suffix, `[layer, prompt, *site axes]`.
    held: dict[Site, np.ndarray]
    final: np.ndarray  # [prompt, width]
    # The pass over all of these prompts, where one batch on one device was enough: rows
    # are resumed from it, and no prompt is run twice.
    run: Prefill | None = None

    def take(self, prompt: int) -> "Bank":
        """Returns the bank of one prompt."""
        held = {site: array[:, [prompt]] for site, array in self.held.items()}
        return Bank(held=held, final=self.final[[prompt]])


def check_bank(bank: Bank, plan: Plan, prompts: int) -> None:
    """Raises ValueError for a bank of other sites, prompts or last tokens."""
    for site in plan.sites:
        if site not in bank.held:
            raise ValueError(
                f"the plan takes {site.label} of sources, and the bank holds "
                f"{', '.join(s.label for s in bank.held) or 'nothing'}; leave the bank "
                "out, or fill one for this plan."
            )
        shape = bank.held[site].shape
        found = shape[1], shape[2 + site.position_axis]
        if found != (prompts, plan.suffix):
            raise ValueError(
                f"the bank holds {site.label} of {found[0]} prompts at their last "
                f"{found[1]} tokens; the plan takes {plan.suffix} tokens of {prompts} "
                "prompts."
            )


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
    held, final, run = [], [], None
    for first in range(0, len(asked), at_once):
        chunk = np.arange(first, min(first + at_once, len(asked)))
        batch = prompts.batch_of([asked[i] for i in sharding.fill_data_axis(chunk)])
        run = prefill(
            parameters, batch.ids, batch.lengths, config=config,
            suffix=plan.suffix, sites=plan.sites, prefix=prefix,
            activations=activations, repeats=-(-len(asked) // at_once),
        )  # fmt: skip
        one, last = sharding.on_every_host((run.activations, run.final))
        held.append(jax.tree.map(lambda a: a[:, : len(chunk)], one))  # noqa: B023
        final.append(last[: len(chunk)])
    is_one = len(held) == 1 and sharding.devices_in_use() == 1
    kept = dataclasses.replace(run, activations={}) if run and is_one else None
    held = _with_padded_keys(held)
    join = functools.partial(np.concatenate, axis=1)
    return Bank(
        held=jax.tree.map(lambda *parts: join(parts), *held),
        final=np.concatenate(final),
        run=kept,
    )


def bank_of_some(filled: Mapping[int, Bank], prompts: int) -> Bank:
    """Returns a bank of so many prompts with some of them in their places, else zeros.

    Args:
        filled: banks of single prompts, one at least.
    """
    held = _with_padded_keys([bank.held for bank in filled.values()])
    whole = {
        site: np.zeros((len(array), prompts, *array.shape[2:]), array.dtype)
        for site, array in held[0].items()
    }
    one = next(iter(filled.values())).final
    final = np.zeros((prompts, *one.shape[1:]), one.dtype)
    for place, of_prompt, bank in zip(filled, held, filled.values(), strict=True):
        final[place] = bank.final[0]
        for site, array in of_prompt.items():
            whole[site][:, place] = array[:, 0]
    return Bank(held=whole, final=final)


def _with_padded_keys(
    held: Sequence[dict[Site, np.ndarray]],
) -> list[dict[Site, np.ndarray]]:
    """Patterns of differently padded batches, to one number of keys."""
    if Site.PATTERN not in held[0]:
        return list(held)
    patterns = [one[Site.PATTERN] for one in held]
    keys = max(pattern.shape[-1] for pattern in patterns)
    padded = [
        np.pad(a, [(0, 0)] * (a.ndim - 1) + [(0, keys - a.shape[-1])]) for a in patterns
    ]
    return [
        {**one, Site.PATTERN: pattern}
        for one, pattern in zip(held, padded, strict=True)
    ]
