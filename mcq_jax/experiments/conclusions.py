"""From measured effects to `Findings`: intervals, readings, verdict, caveats."""

import dataclasses

import jax
import numpy as np

from mcq_jax import metrics, planted
from mcq_jax.checkpoints import Checkpoint
from mcq_jax.experiments.config import RunConfig
from mcq_jax.experiments.node_effects import Bank, Effects, per_node
from mcq_jax.experiments.planted_truth import compare
from mcq_jax.experiments.prompt_set import PromptSet, load_questions
from mcq_jax.experiments.study import Study
from mcq_jax.interventions import Node, all_nodes
from mcq_jax.results import (
    Asked,
    BehaviourFound,
    Estimate,
    Findings,
    GateFound,
    HeadFound,
    JointFound,
    NodeFound,
    PlantedFound,
    SelectionFound,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Explained:
    """What was measured behind an open gate."""

    study: Study
    bank: Bank
    effects: metrics.NodeEffects
    patched: Effects
    selection: metrics.Selection
    joint: tuple[JointFound, ...]
    # Empty for pairs, which have no labels.
    classes: tuple[metrics.HeadClass, ...]
    heads: tuple[HeadFound, ...]
    # Largest change of an answer logit when a node is patched before the last token.
    earlier: np.ndarray | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Conclusions:
    """Everything a run knows when it comes to conclusions."""

    config: RunConfig
    checkpoint: Checkpoint
    asked: PromptSet
    gate: GateFound
    truth: planted.Truth | None
    behaviour: BehaviourFound
    seconds: dict[str, float]
    explained: Explained | None = None


def draw(found: Conclusions) -> Findings:
    """Returns the findings of a run."""
    explained = found.explained
    if explained is None:
        return Findings(
            verdict=_closed_verdict(found),
            has_circuit=False,
            asked=_asked(found),
            behaviour=found.behaviour,
            gate=found.gate,
            conservation_error=None,
            effect_questions=0,
            effect_prompts=0,
            nodes=(),
            selection=None,
            joint=(),
            heads=(),
            planted=None,
            seconds=dict(found.seconds),
            caveats=(),
        )
    nodes = _nodes(found, explained)
    verdict, has_circuit = _verdict(found, explained)
    return Findings(
        verdict=verdict,
        has_circuit=has_circuit,
        asked=_asked(found),
        behaviour=found.behaviour,
        gate=found.gate,
        conservation_error=explained.bank.conservation_error,
        effect_questions=len(set(explained.study.question.tolist())),
        effect_prompts=len(explained.study.gold),
        nodes=nodes,
        selection=_selection(found, explained),
        joint=explained.joint,
        heads=explained.heads,
        planted=_planted(found, explained),
        seconds=dict(found.seconds),
        caveats=_caveats(found),
    )


def _asked(found: Conclusions) -> Asked:
    config, asked = found.config, found.asked
    base = len(asked.prompts) // (2 if config.are_pairs else 1)
    return Asked(
        title=config.title,
        model=found.checkpoint.name,
        model_hash=found.checkpoint.content_hash,
        layers=found.checkpoint.config.layers,
        heads=found.checkpoint.config.heads,
        questions_from=config.questions,
        template=_template_name(config),
        example_prompt=asked.example,
        labels=asked.labels,
        prompts=base,
        questions=len(set(asked.question[:base].tolist())),
        shots=config.shots,
        dtype=config.dtype,
        device=str(jax.devices()[0].device_kind),
        seed=config.seed,
    )


def _template_name(config: RunConfig) -> str:
    if config.are_pairs:
        return "pairs"
    return "planted" if config.questions == "planted" else config.template


def _closed_verdict(found: Conclusions) -> str:
    if not found.gate.open and found.config.are_pairs:
        return f"No circuit to find: {found.gate.reason}"
    if not found.gate.open:
        return (
            "No circuit to find: the answers do not follow the right letter beyond "
            f"chance (D = {found.gate.selectivity:.3f}, null "
            f"{found.gate.null_low:.3f} to {found.gate.null_high:.3f})."
        )
    asked = len(set(found.asked.question.tolist()))
    return (
        "An effect, but too few questions to explain it: "
        f"{found.behaviour.kept_questions} of {asked} pass the filter, and both the "
        "half that chooses nodes and the half that tests them need at least 2. Ask "
        "more questions, or easier ones."
    )


def _verdict(found: Conclusions, explained: Explained) -> tuple[str, bool]:
    """One sentence, from held-out recovery against the random sets."""
    by_kind = {row.kind: row for row in explained.joint}
    selected, random = by_kind["selected"], by_kind["random"]
    if selected.sufficiency is None or random.sufficiency is None:
        return f"No set could be tested: {selected.refused}", False
    restored, rival = selected.sufficiency, random.sufficiency
    asked = "pairs" if found.config.are_pairs else "questions"
    facts = (
        f"{selected.size} nodes restore {restored.mean:.0%} of the net logit on "
        f"held-out {asked} ({restored.low:.0%} to {restored.high:.0%}), random sets "
        f"like them {rival.mean:.0%}{_letter_heads(found, explained)}."
    )
    if restored.low > max(rival.high, 0.5):
        return f"A circuit was found: {facts}", True
    return f"No set explains most of the effect: {facts}", False


def _letter_heads(found: Conclusions, explained: Explained) -> str:
    if found.config.are_pairs:
        return ""
    kinds = ("correct_letter", "letter_specific")
    count = sum(head.head_class in kinds for head in explained.heads)
    return f"; {count} heads attend to the correct letter"


def _nodes(found: Conclusions, explained: Explained) -> tuple[NodeFound, ...]:
    effects, study = explained.effects, explained.study
    question, kinds = study.question, study.sources.kinds
    losses = {
        name: metrics.intervals(per_node(getattr(effects.loss, part)), question)
        for name, part in (
            ("loss", "total"),
            ("loss_outside", "outside"),
            ("loss_inside", "inside"),
        )
    }
    direct, total = (
        {
            kind: metrics.intervals(np.asarray(effect)[:, index], question)
            for index, kind in enumerate(kinds)
        }
        for effect in (effects.direct, effects.total)
    )
    contributions = np.asarray(explained.bank.anatomy.contributions)[: len(study.gold)]
    readings = metrics.readings(metrics.gold_by_answer(contributions, study.gold))
    p_values = _p_values(per_node(effects.direct), question)
    names = {(h.layer, h.head): h.name for h in explained.classes}
    heads = found.checkpoint.config.heads
    chosen = set(explained.selection.nodes)
    rows = []
    for node in all_nodes(found.checkpoint.config.layers, heads):
        at = (node.layer, node.column(heads))
        rows.append(
            NodeFound(
                name=str(node),
                layer=node.layer,
                head=-1 if node.head is None else node.head,
                selected=at in chosen,
                head_class="mlp" if node.head is None else names.get(at, ""),
                direct={kind: _at(direct[kind], at) for kind in kinds},
                total={kind: _at(total[kind], at) for kind in kinds},
                **{name: _at(loss, at) for name, loss in losses.items()},
                promotion=float(readings.promotion[at]),
                letter_prior=tuple(readings.letter_prior[at].tolist()),
                selectivity=float(readings.selectivity[at]),
                p_value=float(p_values[at]),
            )
        )
    return tuple(rows)


def _p_values(direct: np.ndarray, question: np.ndarray) -> np.ndarray:
    """P-values adjusted over all nodes.

    What float32 cannot tell from 0 counts as 0: the same rounding in every prompt has
    the same sign, and would be significant.
    """
    is_rounding = np.abs(direct) < _ROUNDING * np.abs(direct).max()
    return metrics.max_statistic_p(np.where(is_rounding, 0.0, direct), question)


# As a share of the largest effect.
_ROUNDING = 1e-6


def _at(found: metrics.Intervals, at: tuple[int, int]) -> Estimate:
    return Estimate(
        mean=float(found.mean[at]),
        low=float(found.low[at]),
        high=float(found.high[at]),
        questions=found.n_questions,
    )


def _selection(found: Conclusions, explained: Explained) -> SelectionFound:
    study, selection = explained.study, explained.selection
    heads = found.checkpoint.config.heads
    choosing = set(study.question[study.choosing].tolist())
    testing = set(study.question[~study.choosing].tolist())
    return SelectionFound(
        nodes=tuple(str(Node.at(*node, heads)) for node in selection.nodes),
        share=selection.share_asked,
        reached=selection.share_reached,
        is_reached=selection.reached,
        questions=len(choosing),
        held_out_questions=len(testing),
    )


def _planted(found: Conclusions, explained: Explained) -> PlantedFound | None:
    if found.truth is None or found.config.questions != "planted":
        return None
    questions = {q.id: q for q in load_questions(found.config)}
    return compare(
        found.truth, questions, found.checkpoint, explained, labels=found.asked.labels
    )


def _caveats(found: Conclusions) -> tuple[str, ...]:
    caveats = [
        "Pairs have no labels: heads are not classified, and letter priors and what is "
        "corrected by them mean nothing here."
        if found.config.are_pairs
        else "Head classes say where heads look and what that does here; on other text "
        "the same heads may do other things.",
    ]
    if found.config.filters and not found.config.are_pairs:
        kept = found.behaviour.kept_questions
        caveats.append(
            f"Node effects are of questions that the model answers in every rotation "
            f"({kept} of {len(set(found.asked.question.tolist()))}); questions that it "
            "gets wrong may run through other nodes."
        )
    if found.asked.left_out:
        caveats.append(f"{found.asked.left_out} questions were left out for length.")
    return tuple(caveats)
