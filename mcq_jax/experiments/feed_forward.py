"""Are the chosen feed-forward blocks nodes of their own, or amplifiers of heads?

What each writes by the gold letter says whether it follows whichever letter is right,
or one letter. What is left of blocks while the chosen heads are resampled, and of heads
while the blocks are, says who acts through whom; random nodes beside, of the same
layers. Neurons are parts of a block that add up exactly, so the best of them have a
share of it.
"""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from mcq_jax import metrics, passes
from mcq_jax.experiments.experiment import Experiment
from mcq_jax.experiments.joint_tests import source_difference
from mcq_jax.experiments.mediation import Group, measure_mediation
from mcq_jax.experiments.node_effects import bank_of, effects_of, per_node
from mcq_jax.experiments.prompt_options import check_at_least
from mcq_jax.interventions import Node, Site
from mcq_jax.metrics import statistics
from mcq_jax.model.direct import feedforward_output
from mcq_jax.prompts import batch_of
from mcq_jax.results import (
    BlockFound,
    FeedForwardFindings,
    JointTestsFindings,
    MediationFound,
)

if TYPE_CHECKING:
    from mcq_jax.experiments.lab import Lab

BLOCKS, HEADS = "feed-forward blocks", "heads"
# The share of a block's effect that the best neurons are counted for.
_MOST = 0.8


@dataclasses.dataclass(frozen=True, kw_only=True)
class FeedForward(Experiment):
    """Reads the chosen blocks by gold letter, by neuron, and with heads resampled."""

    name = "feed_forward"
    findings = FeedForwardFindings
    needs = ("joint_tests",)
    version = 2  # neurons of a block against the right letter are ranked by that

    # Neurons of a block that are tested together.
    top_neurons: int = 10
    random_draws: int = 3

    def __post_init__(self):
        check_at_least(self, 1, "top_neurons", "random_draws")

    def applies(self, lab: "Lab") -> bool:
        return not lab.config.are_pairs

    def run(self, lab: "Lab") -> FeedForwardFindings:
        study, seed = lab.studied, lab.config.seed
        test, question = ~study.choosing, study.question
        chosen = [
            Node.parse(name)
            for name in lab.findings(JointTestsFindings).selection.nodes
        ]
        blocks = sorted(node for node in chosen if node.head is None)
        heads = sorted(node for node in chosen if node.head is not None)
        difference = statistics.interval(
            source_difference(study, bank_of(lab))[test], question[test], seed=seed
        )
        refused = (
            ""
            if difference.excludes_zero()
            else (
                f"clean minus source is {difference.mean:.3g} with an interval that "
                f"includes 0 over {difference.questions} questions."
            )
        )
        mediation, direct, total = (), {}, {}
        if blocks and heads and not refused:
            table = measure_mediation(lab, _groups(lab, blocks, heads, self))
            mediation, direct, total = _describe(lab, table)
        return FeedForwardFindings(
            blocks=() if refused else _blocks(lab, blocks, self),
            mediation=mediation,
            direct=direct,
            total=total,
            heads=tuple(map(str, heads)),
            questions=len(np.unique(question[study.choosing])),
            held_out_questions=len(np.unique(question[test])),
            refused=refused,
        )


def _groups(
    lab: "Lab", blocks: Sequence[Node], heads: Sequence[Node], options: FeedForward
) -> tuple[Group, ...]:
    """Blocks against heads, heads against blocks, and each against random others."""
    config = lab.checkpoint.config
    generator = np.random.default_rng(lab.config.seed)
    chosen = {*blocks, *heads}
    found = [
        Group(who=BLOCKS, others=HEADS, nodes=tuple(blocks), against=tuple(heads)),
        Group(who=HEADS, others=BLOCKS, nodes=tuple(heads), against=tuple(blocks)),
    ]
    for _ in range(options.random_draws):
        drawn: list[Node] = []
        for layer in sorted({head.layer for head in heads}):
            pool = [Node(layer, h) for h in range(config.heads)]
            pool = [node for node in pool if node not in chosen]
            size = min(len(pool), sum(head.layer == layer for head in heads))
            drawn += [pool[i] for i in generator.permutation(len(pool))[:size]]
        free = [Node(i) for i in range(config.layers) if Node(i) not in chosen]
        others = [free[i] for i in generator.permutation(len(free))[: len(blocks)]]
        if drawn:
            found.append(
                Group(
                    who=BLOCKS, others=f"random {HEADS}", nodes=tuple(blocks),
                    against=tuple(drawn),
                )
            )  # fmt: skip
        if others:
            found.append(
                Group(
                    who=HEADS, others=f"random {BLOCKS}", nodes=tuple(heads),
                    against=tuple(others),
                )
            )  # fmt: skip
    return tuple(found)


def _describe(lab: "Lab", table: dict[str, np.ndarray]):
    """Shares that are left, on held-out questions; random groups pooled."""
    study, seed = lab.studied, lab.config.seed
    test = ~study.choosing[table["prompt"]]
    question = study.question[table["prompt"]][test]
    titles = [tuple(title.split("|")) for title in table["titles"]]

    def share(part: np.ndarray, whole: np.ndarray):
        if not statistics.interval(whole, question, seed=seed).excludes_zero():
            return None
        return statistics.ratio_interval(part, whole, question, seed=seed)

    found, direct, total = [], {}, {}
    for who, others in dict.fromkeys(titles):
        rows = [i for i, title in enumerate(titles) if title == (who, others)]
        at = {
            name: table[name][test][:, rows].mean(axis=1)
            for name in ("direct", "direct_left", "total", "resampled", "held")
        }
        found.append(
            MediationFound(
                who=who,
                others=others,
                direct_left=share(at["direct_left"], at["direct"]),
                total_resampled=share(at["resampled"], at["total"]),
                total_held=share(at["held"], at["total"]),
            )
        )
        for sums, name in ((direct, "direct"), (total, "total")):
            sums[who] = statistics.interval(at[name], question, seed=seed)
    return tuple(found), direct, total


def _blocks(
    lab: "Lab", blocks: Sequence[Node], options: FeedForward
) -> tuple[BlockFound, ...]:
    effects_of(lab)  # on every host
    if lab.checkpoint.config.post_norm:  # neurons do not add up there
        return tuple(_block(lab, node, None, options) for node in blocks)
    table = neuron_effects(lab, blocks) if blocks else np.zeros((0, 0, 0))
    return tuple(
        _block(lab, node, table[:, at], options) for at, node in enumerate(blocks)
    )


def neuron_effects(
    lab: "Lab", blocks: Sequence[Node]
) -> Float[np.ndarray, "prompt block neuron"]:
    """Returns every neuron's net direct effect, another order of options its source.

    Over a block they add up to its direct effect.
    """
    study, bank = lab.studied, bank_of(lab)
    config, parameters = lab.checkpoint.config, lab.checkpoint.parameters
    layers = [node.layer for node in blocks]

    def work(chunk: np.ndarray):
        sources = study.sources.index[chunk, 0]
        batch = batch_of([study.prompts[i] for i in (*chunk, *sources)])
        start = passes.prefill(
            parameters, batch.ids, batch.lengths, config=config,
            sites=(Site.MLP_POST,),
        )  # fmt: skip
        seen = start.activations[Site.MLP_POST][:, :, -1].astype(jnp.float32)
        change = seen[:, : len(chunk)] - seen[:, len(chunk) :]
        directions = jnp.asarray(bank.readout_of(chunk).directions)
        found = []
        for layer in layers:
            down = feedforward_output(parameters, layer, config)
            writes = jnp.einsum("nw,pcw->pnc", down, directions)
            by_answer = change[layer][..., None] * writes
            gold = study.gold[chunk][:, None]
            over = jnp.vectorize(metrics.net, signature="(c),()->()")
            found.append(over(by_answer, gold))
        return jnp.stack(found, axis=1)

    made_of = {**study.identity, "blocks": list(map(str, blocks))}
    table = lab.table("neuron_effects", made_of).complete(
        study.chunks, work,
        lambda chunk, effect: {"prompt": chunk, "effect": effect},
        track=lab.track("reading neurons"),
    )  # fmt: skip
    return table["effect"][np.argsort(table["prompt"])]


def _block(
    lab: "Lab",
    node: Node,
    effect: Float[np.ndarray, "prompt neuron"] | None,
    options: FeedForward,
) -> BlockFound:
    study, seed, config = lab.studied, lab.config.seed, lab.checkpoint.config
    test = ~study.choosing
    question, gold = study.question[test], study.gold[test]
    place = (node.layer, node.column(config.heads))
    written = np.asarray(bank_of(lab).anatomy.contributions)[: len(study.gold)]
    values = written[:, *place][test].astype(np.float64)
    values = values - values.mean(axis=-1, keepdims=True)
    letters = np.unique(gold).tolist()
    by_letter = np.stack([_gain(values[:, c], gold == c) for c in letters], axis=1)
    gains = [statistics.interval(one, question, seed=seed) for one in by_letter.T]
    direct = per_node(effects_of(lab).direct)[:, *place]
    found = BlockFound(
        name=str(node),
        gold_by_answer=tuple(map(tuple, metrics.gold_by_answer(values, gold).tolist())),
        gains=tuple(gains),
        selectivity=statistics.interval(by_letter.mean(axis=1), question, seed=seed),
        kind=kind_of(gains),
        direct=statistics.interval(direct[test], question, seed=seed),
        neurons=config.neurons,
    )
    if effect is None:
        return found
    return dataclasses.replace(found, **_neurons(lab, effect, direct, options))


def _neurons(
    lab: "Lab",
    effect: Float[np.ndarray, "prompt neuron"],
    direct: Float[np.ndarray, " prompt"],
    options: FeedForward,
) -> dict[str, Any]:
    """The best neurons of the fitting questions, and their share on the others."""
    study, seed = lab.studied, lab.config.seed
    fit, test = study.choosing, ~study.choosing
    question = study.question[test]
    order, needed = ranked(effect[fit].mean(axis=0))
    top, rest = np.split(order, [options.top_neurons])
    random = np.random.default_rng(seed).permutation(rest)[: len(top)]
    can_share = statistics.interval(direct[test], question, seed=seed).excludes_zero()

    def share(some: np.ndarray):
        part = effect[test][:, some].sum(axis=1)
        if not can_share:
            return None
        return statistics.ratio_interval(part, direct[test], question, seed=seed)

    return {
        "top_neurons": tuple(map(int, top)),
        "top_share": share(top),
        "random_share": share(random),
        "neurons_for_most": needed,
    }


def ranked(
    effect: Float[np.ndarray, " neuron"],
) -> tuple[Int[np.ndarray, " neuron"], int]:
    """Returns neurons, those first that do most of what all do, and how many do most.

    All may speak against the right letter, and then those first that do so most. The
    first that come within a fifth of the total: beyond it is as far off as short of it.
    """
    signed = effect * np.sign(effect.sum())
    order = np.argsort(-signed, kind="stable")
    short = np.abs(signed[order].cumsum() - signed.sum())
    enough = short <= (1 - _MOST) * signed.sum()
    enough[-1] = True  # all of them, whatever they round to
    return order, int(enough.argmax()) + 1


def _gain(
    value: Float[np.ndarray, " prompt"], is_gold: Bool[np.ndarray, " prompt"]
) -> Float[np.ndarray, " prompt"]:
    """By prompt, what averages to: where a letter is right, less where it is not."""
    return value * np.where(is_gold, 1 / is_gold.mean(), -1 / (~is_gold).mean())


def kind_of(gains: Sequence[statistics.Interval]) -> str:
    """Returns what the gains of all letters make of a block.

    Like a correct-letter head, if every letter gains by being right; letter-specific,
    if some do and the others' intervals include 0 or less; a bias, if none does.
    """
    up = [gain.low > 0 for gain in gains]
    if all(up):
        return "correct-letter-like"
    if any(gain.high < 0 for gain in gains) and not any(up):
        return "against the right letter"
    return "letter-specific" if any(up) else "a bias"
