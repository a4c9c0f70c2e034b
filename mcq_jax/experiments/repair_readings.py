"""Readings of the table `self_repair`: means with intervals over questions."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from mcq_jax import metrics
from mcq_jax.experiments.repair_rows import Groups, Nodes, Unit
from mcq_jax.interventions import Node
from mcq_jax.metrics import Interval
from mcq_jax.results import (
    GroupAblated,
    Interaction,
    LaterFound,
    RepairFound,
    RepairLine,
    SetAblated,
)

# How many of the nodes that make up for one are named.
_NAMED = 3
# Of the prompts' largest net logit.
_ROUNDING = 1e-4
# Of it, too, a direct effect below which there is nothing to make up a share of.
_SMALL = 0.01
EITHER, BOTH, INDEPENDENT, UNDECIDED = (
    "either one will do", "both are needed", "independent", "undecided",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Readings:
    """The table, what its sets stand for, and the question of each prompt."""

    table: Mapping[str, np.ndarray]
    rows: Sequence[tuple[str, ...]]
    question: np.ndarray
    seed: int
    ablations: Sequence[str]

    @property
    def rounding(self) -> float:
        """What float32 cannot tell from no effect at all, net logits."""
        return _ROUNDING * float(np.abs(self.table["net"]).max())

    def repairs(self, units: Sequence[Unit], heads: int) -> tuple[RepairFound, ...]:
        return tuple(
            self._repair(unit, number, ablation, heads)
            for number, unit in enumerate(units)
            for ablation in range(len(self.ablations))
        )

    def lines(self, units: Sequence[Unit]) -> tuple[RepairLine, ...]:
        """Compensation on direct effect over units and prompts, by kind of unit."""
        found = []
        for kind in dict.fromkeys(unit.kind for unit in units):
            mine = [i for i, unit in enumerate(units) if unit.kind == kind]
            for number, ablation in enumerate(self.ablations):
                direct = self.table["direct"][:, number, mine]
                later = self.table["later"][:, number, mine].sum(axis=(-2, -1))
                one = metrics.line(
                    direct.ravel(), later.ravel(), np.repeat(self.question, len(mine)),
                    least_spread=self.rounding, seed=self.seed,
                )  # fmt: skip
                found.append(
                    RepairLine(
                        kind=kind, ablation=ablation, slope=one.slope,
                        intercept=one.intercept, r_squared=one.r_squared,
                        refused=one.refused,
                    )
                )  # fmt: skip
        return tuple(found)

    def sets(self, sizes: Mapping[tuple[str, ...], int]) -> tuple[SetAblated, ...]:
        """The selected set and random ones, random draws pooled."""
        names = [row[1] for row in self.rows if row[0] == "set"]
        pooled = {"selected": ["selected"], "random": names[1:]}
        found = []
        for name, members in pooled.items():
            for number, ablation in enumerate(self.ablations):
                everything = self._lost(("everything",), number)
                taken = self._recovery("set", members, number, everything, kept=False)
                kept = self._recovery("all but", members, number, everything, kept=True)
                found.append(
                    SetAblated(
                        name=name, size=sizes["set", members[0]], ablation=ablation,
                        taken=taken.ratio, kept=kept.ratio,
                        refused=taken.refused,
                    )
                )  # fmt: skip
        return tuple(found)

    def groups(self, nodes: Mapping[str, Nodes]) -> tuple[GroupAblated, ...]:
        found = []
        for name, own in nodes.items():
            for number, ablation in enumerate(self.ablations):
                every = self._lost(("every group",), number)
                # Of one group alone, all others ablated are none.
                rest = self._lost(("without", name), number) if len(nodes) > 1 else 0
                found.append(
                    GroupAblated(
                        name=name, nodes=tuple(map(str, own)), ablation=ablation,
                        noised=self._interval(self._lost(("group", name), number)),
                        restored=self._interval(every - rest),
                    )
                )  # fmt: skip
        return tuple(found)

    def interactions(self, groups: Groups, within: float) -> tuple[Interaction, ...]:
        pairs = [
            ("groups", a, b, ("group", a), ("group", b))
            for a, b in itertools.combinations(groups.nodes, 2)
        ] + [
            (role, str(x), str(y), ("node", str(x)), ("node", str(y)))
            for role, nodes in groups.strongest.items()
            for x, y in itertools.combinations(nodes, 2)
        ]
        return tuple(
            self._interaction(*pair, number, within)
            for pair in pairs
            for number in range(len(self.ablations))
        )

    def conservation_error(self) -> float:
        parts = self.table["direct"] - self.table["later"].sum(axis=(-2, -1))
        return float(np.abs(parts - self.table["frozen"]).max())

    def _repair(self, unit: Unit, number: int, ablation: int, heads: int):
        direct, frozen, free = (
            self.table[name][:, ablation, number]
            for name in ("direct", "frozen", "free")
        )
        later = self.table["later"][:, ablation, number]  # [prompt, layer, node]
        made_up = later.sum(axis=(1, 2))
        whole = self._interval(direct)
        share = None
        small = _SMALL / _ROUNDING * self.rounding
        if whole.excludes_zero() and abs(whole.mean) > small:
            share = metrics.ratio_interval(
                made_up, direct, self.question, seed=self.seed
            )
        line = metrics.line(
            direct, made_up, self.question, least_spread=self.rounding, seed=self.seed
        )
        mean = later.mean(axis=0)
        order = np.argsort(-np.abs(mean), axis=None)[:_NAMED]
        named = [divmod(int(at), mean.shape[1]) for at in order]
        return RepairFound(
            name=unit.name,
            kind=unit.kind,
            ablation=self.ablations[ablation],
            direct=whole,
            total=self._interval(free),
            total_frozen=self._interval(frozen),
            compensation=self._interval(made_up),
            share=share,
            slope=line.slope,
            r_squared=line.r_squared,
            attention=tuple(mean[:, :heads].sum(axis=1).tolist()),
            feedforward=tuple(mean[:, heads].tolist()),
            later=tuple(
                LaterFound(
                    name=str(Node.at(layer, column, heads)),
                    compensation=self._interval(later[:, layer, column]),
                )
                for layer, column in named
            ),
        )

    def _interaction(
        self, of: str, first: str, second: str, one, other, ablation: int, within: float
    ) -> Interaction:
        together = ("groups" if of == "groups" else "nodes", first, second)
        a, b, both = (self._lost(row, ablation) for row in (one, other, together))
        found = self._interval(both - a - b)
        whole = self._interval(both)
        return Interaction(
            of=of, first=first, second=second, ablation=self.ablations[ablation],
            first_effect=self._interval(a), second_effect=self._interval(b),
            both=whole, interaction=found, reading=reading(found, whole, within),
        )  # fmt: skip

    def _lost(self, row: tuple[str, ...], ablation: int) -> np.ndarray:
        return self.table["lost"][:, ablation, list(self.rows).index(row)]

    def _recovery(self, kind, members, ablation, everything, *, kept: bool):
        """What sets take of all that is lost with everything, or keep of it."""
        nothing = np.zeros_like(everything)  # all but a set of all nodes
        lost = np.concatenate([
            self._lost((kind, name), ablation) if (kind, name) in self.rows else nothing
            for name in members
        ])  # fmt: skip
        whole = np.tile(everything, len(members))
        question = np.tile(self.question, len(members))
        none = np.zeros_like(whole)  # net logits less the prompt's own
        how = metrics.sufficiency if kept else metrics.necessity
        return how(none, -whole, -lost, question, seed=self.seed)

    def _interval(self, values: np.ndarray) -> Interval:
        return metrics.interval(values, self.question, seed=self.seed)


def reading(interaction: Interval, both: Interval, within: float) -> str:
    """Says what an interaction means, where its whole interval is beyond a share.

    The share is of what both lose together; where that may be nothing, none is said.
    """
    if not both.excludes_zero():
        return UNDECIDED
    edge, sign = within * abs(both.mean), np.sign(both.mean)
    low, high = sorted((sign * interaction.low, sign * interaction.high))
    if low > edge:
        return EITHER
    if high < -edge:
        return BOTH
    return INDEPENDENT if low > -edge and high < edge else UNDECIDED
