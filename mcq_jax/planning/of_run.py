"""`listed`: the experiments of a run that was made, at the size of another model."""

import dataclasses
import os

from mcq_jax import costs
from mcq_jax.model import ModelConfig
from mcq_jax.model.work import Amount
from mcq_jax.planning.plan import Plan
from mcq_jax.planning.roofline import PassCost
from mcq_jax.results import RunResults, Spent, Storage


@dataclasses.dataclass(frozen=True, kw_only=True)
class Listed:
    """Seconds of one experiment on all chips together, at the sweep's speeds."""

    experiment: str
    # With as many patched rows as it had.
    as_many_rows: float
    # With as many rows for each node of the model.
    rows_by_node: float
    # With a full pass for every prompt and each of as many rows, at the chips' peak.
    as_full_passes: float


def listed(
    path: str | os.PathLike, config: ModelConfig, plan: Plan, peak_flops: float
) -> tuple[Listed, ...]:
    """Returns what the experiments of a run's folder would take of a model's sweep.

    Counted work is scaled by layers; rows also by nodes, for experiments whose rows
    are nodes. Prompts keep their lengths. Prompts and rows cost what they do in the
    planned sweep (`pass_cost`).

    Args:
        path: of a run of any model.
        plan: of the model with this config.
        peak_flops: of a chip.

    Raises:
        ValueError: for a run from before work was counted.
    """
    storage = Storage.at(path)
    run = RunResults.read(storage)
    spent = {
        name: record.spent
        for name, record in run.records.items()
        if record.spent is not None and record.spent.work is not None
    }
    if not any(one.flops for one in spent.values()):
        raise ValueError(
            f"no experiment of {storage.path} has its work counted: it was run by an "
            "earlier version, or its tables were there already. Run the card again in "
            "another folder (--out)."
        )
    nodes = run.about.layers * (run.about.heads + 1)
    scale = _Scale(
        config=config, plan=plan, peak=peak_flops,
        layers=config.layers / run.about.layers,
        nodes=config.layers * config.nodes / nodes,
    )  # fmt: skip
    return tuple(scale.apply(name, one) for name, one in spent.items())


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Scale:
    """From the model that was run to the one that is planned."""

    config: ModelConfig
    plan: Plan
    peak: float
    layers: float
    nodes: float

    def apply(self, name: str, spent: Spent) -> Listed:
        assert spent.work is not None
        work = spent.work
        prompts = self._flops(work.prompts) * self._pace(self.plan.prompt_pass)
        rows = self._flops(work.rows) * self._pace(self.plan.patching)
        whole = self._flops(work.as_full_passes)
        return Listed(
            experiment=name,
            as_many_rows=prompts + rows,
            rows_by_node=prompts + self.nodes * rows,
            as_full_passes=whole / (self.plan.chips * self.peak),
        )

    def _flops(self, amount: Amount) -> float:
        """At the planned shape; logits are of tokens, whatever the layers."""
        scaled = dataclasses.replace(
            amount.times(self.layers), unembedded=amount.unembedded
        )
        return costs.work_flops(self.config, scaled)

    def _pace(self, cost: PassCost) -> float:
        """Seconds for one FLOP of all chips."""
        return cost.seconds / (cost.flops * self.plan.chips)
