"""Do later nodes make up for what is ablated, and does that depend on how?

Every selected node and every layer's attention is ablated at the answer position in
three ways: by what it writes in another prompt (resample), by its mean, by zeros. What
it wrote itself is its direct effect; what later nodes then write more is compensation
(McGrath et al. 2023), and the rest is lost in the end. With the final norm's scale
frozen the three add up exactly; free, the norm turns the rest up or down (Rushing and
Nanda 2024). Zeros are off distribution: what only they wake is no part of the task.

Role groups are ablated alone, two at a time, and all but one. More lost together than
in sum: either one will do (OR); less: both are needed, or one acts through the other
(AND). Nodes and groups were chosen on one half of the questions, all is read on the
other.
"""

import dataclasses
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mcq_jax import metrics, passes
from mcq_jax.experiments import repair_readings
from mcq_jax.experiments.experiment import Experiment
from mcq_jax.experiments.node_effects import bank_of
from mcq_jax.experiments.prompt_options import check_at_least
from mcq_jax.experiments.repair_rows import (
    Unit,
    groups_of,
    mask_of,
    sets_of,
    units_of,
)
from mcq_jax.prompts import batch_of
from mcq_jax.results import SelfRepairFindings

if TYPE_CHECKING:
    from mcq_jax.experiments.lab import Lab

ABLATIONS = ("resample", "mean", "zero")
_PARTS = ("net", "direct", "later", "frozen", "free", "lost")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SelfRepair(Experiment):
    """Ablates nodes, layers and role groups in three ways; says who makes up for it."""

    name = "self_repair"
    findings = SelfRepairFindings
    needs = ("joint_tests", "head_classes")

    # Random sets, matched in kind and layer; nodes of the first are ablated by ones.
    random_sets: int = 3
    # Of every role group so many nodes, the strongest, are ablated two at a time.
    paired_nodes: int = 4
    # An interaction counts as none within this share of what both together lose.
    independent_within: float = 0.1
    # Later layers make up for attention if the slope (resampled) lies above this.
    made_up_from: float = 0.2
    # The classes' thresholds, as in head_classes.
    thresholds: metrics.Thresholds = metrics.Thresholds()

    def __post_init__(self):
        check_at_least(self, 1, "random_sets")
        check_at_least(self, 0, "paired_nodes")
        if not 0 <= self.independent_within < 1:
            raise ValueError(
                f"independent_within is {self.independent_within}, a share; give a "
                "number from 0 to 1."
            )

    def applies(self, lab: "Lab") -> bool:
        return not lab.config.are_pairs  # which have no classes of heads

    def run(self, lab: "Lab") -> SelfRepairFindings:
        units = units_of(lab)
        groups = groups_of(lab, self.thresholds, strongest=self.paired_nodes)
        rows = sets_of(lab, self.random_sets) | {
            name: mask_of(lab, nodes) for name, nodes in groups.rows().items()
        }
        table = measure(lab, units, np.stack(list(rows.values())))
        study = lab.studied
        readings = repair_readings.Readings(
            table=table,
            rows=list(rows),
            question=study.question[table["prompt"]],
            seed=lab.config.seed,
            ablations=ABLATIONS,
        )
        return SelfRepairFindings(
            repairs=readings.repairs(units, lab.checkpoint.config.heads),
            lines=readings.lines(units),
            sets=readings.sets({row: int(mask.sum()) for row, mask in rows.items()}),
            groups=readings.groups(groups.nodes),
            interactions=readings.interactions(groups, self.independent_within),
            conservation_error=readings.conservation_error(),
            questions=len(np.unique(readings.question)),
            level=self.made_up_from,
        )


def measure(
    lab: "Lab", units: tuple[Unit, ...], sets: np.ndarray
) -> dict[str, np.ndarray]:
    """The table `self_repair`, by test prompt: what units and sets come to.

    Columns in net logits: `net` of the prompt; of units `direct`, `frozen`, `free`
    `[prompt, ablation, unit]` and `later` `[…, layer, node]`; of sets `lost`.
    """
    study = lab.studied
    chunks = [chunk[~study.choosing[chunk]] for chunk in study.chunks]
    chunks = [chunk for chunk in chunks if len(chunk)]
    masks = np.stack([unit.mask for unit in units])
    made_of = {
        **study.identity,
        "mean over": study.choosing,
        "ablations": list(ABLATIONS),
        "units": masks,
        "sets": sets,
    }
    table = lab.table("self_repair", made_of).complete(
        chunks,
        lambda chunk: _of_chunk(lab, chunk, masks, sets),
        lambda chunk, found: {
            "prompt": chunk, **dict(zip(_PARTS, found, strict=True))
        },
        track=lab.track("ablating nodes and groups"),
    )  # fmt: skip
    order = np.argsort(table["prompt"])
    return {name: column[order] for name, column in table.items()}


def _of_chunk(
    lab: "Lab", chunk: np.ndarray, masks: np.ndarray, sets: np.ndarray
) -> tuple[Array, ...]:
    study, checkpoint = lab.studied, lab.checkpoint
    config, parameters = checkpoint.config, checkpoint.parameters
    batch = batch_of([study.prompts[i] for i in chunk])
    start = passes.prefill(
        parameters, batch.ids, batch.lengths, config=config, repeats=len(study.chunks)
    )
    sources = stand_ins(lab, chunk)
    gold = jnp.asarray(study.gold[chunk])

    def net(logits: Array) -> Float[Array, "prompt *rows"]:
        over_rows = jnp.vectorize(metrics.net, signature="(c),()->()")
        return over_rows(logits, gold.reshape(-1, *(1,) * (logits.ndim - 2)))

    def read(final: Array) -> Float[Array, "prompt *rows"]:
        uncapped = dataclasses.replace(config, logit_cap=None)
        logits, _ = passes.read_answers(
            parameters.unembedding, final, batch.answer_ids, config=uncapped,
            full_vocabulary=False,
        )  # fmt: skip
        return net(logits)

    found = passes.compensate(
        parameters, start, sources, passes.NodeSets(masks), batch.answer_ids,
        config=config,
    )  # fmt: skip
    run = passes.resume(
        parameters, start, sources, passes.NodeSets(sets), config=config,
        repeats=len(study.chunks),
    )  # fmt: skip
    clean = read(start.final[:, None])
    parts = (found.direct, found.later, found.frozen, found.free)
    return clean[:, 0], *map(net, parts), clean[:, None] - read(run.final)


def stand_ins(lab: "Lab", chunk: np.ndarray) -> passes.Held:
    """What ablated nodes write, `[layer, prompt, ablation, 1, …]`, by `ABLATIONS`.

    The mean is over the prompts on which nodes were chosen.
    """
    study, bank = lab.studied, bank_of(lab)
    choosing = np.flatnonzero(study.choosing)

    def held(nodes: np.ndarray) -> Array:
        other = nodes[:, study.sources.index[chunk, 0]]
        mean = nodes[:, choosing].mean(axis=1, keepdims=True)
        three = [other, np.broadcast_to(mean, other.shape), np.zeros_like(other)]
        return jnp.asarray(np.stack(three, axis=2)[:, :, :, None])

    return {site: held(nodes) for site, nodes in bank.nodes.items()}
