"""The circuit as one hypothesis: nodes, kinds of tokens, and the edges between them.

Every edge that is not drawn is resampled: its receiver reads what the sender writes for
another order of the options. Edges are ranked by what each does alone, taken from the
source in the prompt's run (noised) and brought from the prompt into the source's
(denoised): of two routes of which either is enough, noising one shows nothing. The
smallest set of the first that recovers the share asked for is the drawing. It is chosen
on one half of the questions and tested on the other, beside the next in rank, as many
random edges, and as many on random paths from tokens to the answer: of edges that lead
nowhere none does anything, so these alone ask whether it matters which way is taken.
"""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Int

from mcq_jax import metrics
from mcq_jax.experiments.aligned_pairs import Pairs
from mcq_jax.experiments.content_route import pairs_of
from mcq_jax.experiments.experiment import Experiment
from mcq_jax.experiments.letter_paths import (
    describe_paths,
    measure_paths,
    path_sets,
    single_paths,
)
from mcq_jax.experiments.node_effects import bank_of, effects_of, per_node
from mcq_jax.experiments.prompt_options import check_at_least
from mcq_jax.experiments.route_rows import letter_heads
from mcq_jax.experiments.wire_runs import measure_each, measure_sets, wiring_of
from mcq_jax.interventions import Node, all_nodes
from mcq_jax.paths import Wiring, random_like, random_paths
from mcq_jax.results import (
    ContentRouteFindings,
    DrawnCircuitFindings,
    DrawnEdge,
    DrawnFound,
    HeadClassesFindings,
    JointTestsFindings,
)

if TYPE_CHECKING:
    from mcq_jax.experiments.lab import Lab

# Below this share of the effect an edge does nothing but round.
_ROUNDING = 1e-4


@dataclasses.dataclass(frozen=True, kw_only=True)
class DrawnCircuit(Experiment):
    """Draws the edges that carry the answer and tests them as a whole."""

    name = "drawn_circuit"
    findings = DrawnCircuitFindings
    needs = ("joint_tests", "head_classes", "content_route")
    version = 2  # beside edges on random paths

    # Of what all edges among the candidates recover.
    share: float = 0.8
    # Candidates: the chosen set, correct-letter heads and gatherers, filled up by total
    # effect; every node, where there are no more.
    most_nodes: int = 32
    # Prompts by which single edges are ranked, of the fitting questions.
    ranking_prompts: int = 8
    prompts_per_question: int = 2
    random_draws: int = 5

    def __post_init__(self):
        check_at_least(
            self, 1, "most_nodes", "ranking_prompts", "prompts_per_question",
            "random_draws",
        )  # fmt: skip
        if not 0 < self.share <= 1:
            raise ValueError(
                f"share is {self.share}; give a number above 0, at most 1."
            )

    def applies(self, lab: "Lab") -> bool:
        return not lab.config.are_pairs and lab.prompts.rotations > 1

    def run(self, lab: "Lab") -> DrawnCircuitFindings:
        pairs = pairs_of(lab, self.prompts_per_question)
        effects_of(lab)  # on every host
        nodes = lab.decide(tuple[str, ...], lambda: _candidates(lab, self.most_nodes))
        wiring = wiring_of(map(Node.parse, nodes))
        fitting, testing = pairs.take(pairs.choosing), pairs.take(~pairs.choosing)
        roles = _roles(lab)
        found = DrawnCircuitFindings(
            letter_heads=tuple(str(Node(*head)) for head in letter_heads(lab)),
            roles={name: roles.get(name, "") for name in nodes},
            candidates=len(wiring.wires),
            share=self.share,
            questions=len(np.unique(fitting.question)),
            held_out_questions=len(np.unique(testing.question)),
            refused=_refused(lab, testing) or _refused(lab, fitting),
        )
        if found.refused:
            return found
        alone = _ranked(lab, fitting, wiring, self.ranking_prompts)
        drawing = _choose(lab, fitting, wiring, alone, self.share)
        paths, contrast = _paths(lab, pairs)
        return dataclasses.replace(
            found,
            paths=paths,
            edges=tuple(
                DrawnEdge(
                    edge=str(wiring.wires[i]),
                    noised=float(alone.noised[i]),
                    denoised=float(alone.denoised[i]),
                )
                for i in alone.order
                if drawing.drawn[i]
            ),
            sets=_tested(lab, testing, wiring, alone, drawing, self.random_draws),
            reached=drawing.reached,
            contrast=contrast,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Alone:
    """What every wire does alone, as a share of the effect, on fitting questions."""

    noised: Float[np.ndarray, " wire"]
    denoised: Float[np.ndarray, " wire"]

    @property
    def size(self) -> Float[np.ndarray, " wire"]:
        return np.abs(self.noised + self.denoised) / 2

    @property
    def order(self) -> Int[np.ndarray, " wire"]:
        return np.argsort(-self.size, kind="stable")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Drawing:
    """The wires drawn, how many of the ranking they are from, and what they reach."""

    drawn: Bool[np.ndarray, " wire"]
    taken: int
    reached: float


def _candidates(lab: "Lab", most: int) -> tuple[str, ...]:
    config, study = lab.checkpoint.config, lab.studied
    total = per_node(effects_of(lab).total)[study.choosing].mean(axis=0)
    every = all_nodes(config.layers, config.heads)
    by_effect = sorted(
        every, key=lambda n: -abs(total[n.layer, n.column(config.heads)])
    )
    wanted = [
        *map(Node.parse, lab.findings(JointTestsFindings).selection.nodes),
        *(Node(*head) for head in letter_heads(lab)),
        *(Node.parse(g.name) for g in lab.findings(ContentRouteFindings).gatherers),
        *by_effect,
    ]
    return tuple(str(node) for node in sorted(list(dict.fromkeys(wanted))[:most]))


def _roles(lab: "Lab") -> dict[str, str]:
    gatherers = lab.findings(ContentRouteFindings).gatherers
    classes = lab.findings(HeadClassesFindings).heads
    return {one.name: "content_gatherer" for one in gatherers} | {
        head.name: head.head_class for head in classes
    }


def _ranked(lab: "Lab", pairs: Pairs, wiring: Wiring, most: int) -> Alone:
    """What wires do alone, by prompts of as many questions as can be."""
    _, turn = np.unique(pairs.question, return_inverse=True)
    seen = np.array([int((turn[:i] == t).sum()) for i, t in enumerate(turn)])
    few = np.isin(np.arange(len(turn)), np.lexsort((turn, seen))[:most])
    table = measure_each(lab, pairs.take(few), wiring)
    whole = (table["net"] - table["source_net"]).mean()
    return Alone(
        noised=(table["net"][:, None] - table["noised"]).mean(axis=0) / whole,
        denoised=(table["denoised"] - table["source_net"][:, None]).mean(axis=0)
        / whole,
    )


def _choose(
    lab: "Lab", pairs: Pairs, wiring: Wiring, alone: Alone, share: float
) -> Drawing:
    """The first wires in rank that recover the share, less what leads nowhere."""
    count = max(1, int((alone.size > _ROUNDING).sum()))
    steps = {1, count, *(n << i for i in range(20) for n in (2, 3))}
    sizes = sorted(size for size in steps if size <= count)
    ranked = np.argsort(alone.order)  # each wire's place in the ranking
    rows = np.stack([wiring.connected(ranked < size) for size in sizes])
    rows = np.concatenate([rows, np.ones((1, rows.shape[1]), bool)])
    table = measure_sets(lab, pairs, wiring, rows)
    got = (table["denoised"] - table["source_net"][:, None]).mean(axis=0)
    # Where all candidates together recover nothing, the share is of the effect.
    whole = (table["net"] - table["source_net"]).mean()
    reached = got[:-1] / (got[-1] if got[-1] > 0 else whole)

    def choose() -> int:
        enough = np.flatnonzero(reached >= share - 1e-6)
        return int(enough[0]) if len(enough) else int(np.argmax(reached))

    at = lab.decide(int, choose)
    return Drawing(drawn=rows[at], taken=sizes[at], reached=float(reached[at]))


def _tested(
    lab: "Lab", pairs: Pairs, wiring: Wiring, alone: Alone, drawing: Drawing, draws: int
) -> tuple[DrawnFound, ...]:
    size = int(drawing.drawn.sum())
    generator = np.random.default_rng(lab.config.seed)
    ranked = np.argsort(alone.order)
    rivals = (ranked >= drawing.taken) & (ranked < drawing.taken + size)
    # Of a circuit of more than half of all edges nothing else is as large.
    draws = draws if 2 * size <= len(wiring.wires) else 0
    random = [random_like(wiring, drawing.drawn, generator) for _ in range(draws)]
    ways = [random_paths(wiring, size, generator) for _ in range(draws if size else 0)]
    kinds = ["drawn", "next_best", "every edge"]
    kinds += ["random"] * len(random) + ["random_paths"] * len(ways)
    every = np.ones(len(wiring.wires), bool)
    sets = np.stack([drawing.drawn, rivals, every, *random, *ways])
    table = measure_sets(lab, pairs, wiring, sets)
    found = []
    for kind in dict.fromkeys(kinds):
        rows = [i for i, name in enumerate(kinds) if name == kind]
        net, source, question = table["net"], table["source_net"], pairs.question
        denoised, noised = (
            table[way][:, rows].mean(axis=1) for way in ("denoised", "noised")
        )
        seed = lab.config.seed
        found.append(
            DrawnFound(
                kind=kind,
                size=int(sets[rows[0]].sum()),
                sufficiency=metrics.sufficiency(
                    net, source, denoised, question, seed=seed
                ).ratio,
                necessity=metrics.necessity(
                    net, source, noised, question, seed=seed
                ).ratio,
            )
        )
    return tuple(found)


def _refused(lab: "Lab", pairs: Pairs) -> str:
    """Why there are no shares; empty where there are."""
    logits = np.asarray(bank_of(lab).answer_logits)
    net, source = (
        metrics.nets(logits[index], pairs.gold)
        for index in (pairs.prompt, pairs.source)
    )
    whole = metrics.necessity(net, source, net, pairs.question, seed=lab.config.seed)
    return whole.refused


def _paths(lab: "Lab", pairs: Pairs):
    heads = letter_heads(lab)
    if not heads or not max(layer for layer, _ in heads):
        return (), {}
    alone = single_paths(lab, pairs, heads)
    gatherers = lab.findings(ContentRouteFindings).gatherers
    senders = path_sets(lab, heads, alone, {Node.parse(g.name) for g in gatherers})
    testing = pairs.take(~pairs.choosing)
    table = measure_paths(lab, testing, heads, senders)
    return describe_paths(table, testing, senders, seed=lab.config.seed)
