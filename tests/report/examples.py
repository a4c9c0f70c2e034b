"""Made-up findings, as a run would give them, of any size."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from mcq_jax.metrics import Gate, Interval
from mcq_jax.results import (
    About,
    BehaviourFindings,
    HeadClassesFindings,
    HeadFound,
    JointFound,
    JointTestsFindings,
    NodeEffectsFindings,
    NodeFound,
    PlantedTruthFindings,
    Record,
    RunResults,
    ScreenedFound,
    ScreeningFound,
    SelectionFound,
)

KINDS = ("rotation", "other", "placebo")
KEY_CLASSES = ("FIRST", "QUESTION", "LABEL", "OPTION", "LINE_END", "CUE")


def estimate(mean: float, width: float = 0.05, questions: int = 50) -> Interval:
    return Interval(
        mean=mean, low=mean - width, high=mean + 1.1 * width, questions=questions
    )


def changed(run: RunResults, **changes: Any) -> RunResults:
    """The same with other findings: `nodes`, `heads`, `gate`, … by their names."""
    about = changes.pop("about", run.about)
    values = {name: record.values for name, record in run.records.items()}
    parts = {
        "gate": ("behaviour", "gate"),
        "nodes": ("node_effects", "nodes"),
        "selection": ("joint_tests", "selection"),
        "sets": ("joint_tests", "sets"),
        "screening": ("joint_tests", "screening"),
        "heads": ("head_classes", "heads"),
    }
    seconds = changes.pop("seconds", None)
    for name, value in changes.items():
        if name in parts:
            experiment, field = parts[name]
            values[experiment] = dataclasses.replace(
                values[experiment], **{field: value}
            )
        elif value is None:
            values.pop(name)
        else:
            values[name] = value
    return results(about, values, run.seconds if seconds is None else seconds)


def results(
    about: About, values: Mapping[str, Any], seconds: Mapping[str, float]
) -> RunResults:
    records = {name: Record(values=value) for name, value in values.items()}
    return RunResults(about=about, records=records, opening=seconds)


def open_gate(
    *, layers: int = 8, heads: int = 8, choices: int = 4, questions: int = 50
) -> RunResults:
    """Findings of a run that went all the way."""
    generator = np.random.default_rng(layers + 100 * choices)
    nodes = _nodes(generator, layers, heads, choices)
    ranked = sorted(nodes, key=lambda node: -node.direct["rotation"].mean)
    chosen = tuple(node.name for node in ranked[:6])
    selection = SelectionFound(
        nodes=chosen,
        share=0.8,
        reached=0.83,
        is_reached=True,
        questions=questions // 2,
        held_out_questions=questions - questions // 2,
    )
    values = {
        "behaviour": _behaviour(choices, questions, bound=1.4),
        "node_effects": NodeEffectsFindings(
            nodes=nodes,
            conservation_error=3.1e-6,
            questions=questions,
            prompts=questions * choices,
        ),
        "joint_tests": JointTestsFindings(
            selection=selection,
            sets=_joint(len(chosen), layers * (heads + 1), questions // 2),
            screening=_screening(questions // 2),
        ),
        "head_classes": HeadClassesFindings(
            heads=tuple(_heads(generator, nodes, choices))
        ),
    }
    seconds = {
        "loading": 2.1,
        "behaviour": 9.4,
        "node_effects": 141.0,
        "joint_tests": 22.6,
        "head_classes": 4.2,
    }
    return results(
        asked(layers=layers, heads=heads, choices=choices, questions=questions),
        values,
        seconds,
    )


def closed_gate() -> RunResults:
    """Findings of a model at chance: no circuit to find."""
    found = open_gate()
    gate = Gate(
        open=False,
        selectivity=-0.01,
        null_low=-0.06,
        null_high=0.06,
        p_value=0.61,
        null="golds shifted within each question",
        reason="D lies inside its null (D = -0.01, null -0.06 to 0.06).",
    )
    behaviour = dataclasses.replace(_behaviour(4, 50, bound=0.02), gate=gate)
    return results(
        found.about, {"behaviour": behaviour}, {"loading": 1.2, "behaviour": 6.0}
    )


def planted(*, agrees: bool = True) -> RunResults:
    """Findings of a planted model, rightly found or with one head missed."""
    found = open_gate()
    classes = {
        head.name: head.head_class for head in found.heads if head.head_class != "other"
    }
    roles = {
        "output": tuple(node.name for node in found.nodes if node.selected),
        "upstream_at_last_token": ("L2H0", "L2H5", "L1H4"),
        "upstream_elsewhere": ("L0H1", "L0MLP", "L1H2"),
    }
    missed = roles if agrees else {**roles, "output": (*roles["output"][1:], "L1H1")}
    wrong = dict.fromkeys(list(classes)[:1], "uniform")
    return changed(
        found,
        planted_truth=PlantedTruthFindings(
            planted=roles,
            found=missed,
            classes_planted=classes,
            classes_found=classes if agrees else classes | wrong,
            largest_error=2.4e-6,
            agrees=agrees,
        ),
    )


def asked(*, layers: int, heads: int, choices: int, questions: int) -> About:
    labels = tuple("ABCDEFGHIJ"[:choices])
    words = (
        "apple river stone cloud copper violin meadow lantern harbour walnut".split()
    )
    lines = [f"{label}) {word}" for label, word in zip(labels, words, strict=False)]
    return About(
        title="How a small model answers “Which option is the word …?”",
        model="tiny-planted-8x8",
        model_hash="9f2c1a77de0b4c55",
        layers=layers,
        heads=heads,
        questions_from="word copy, generated with seed 0",
        template="A) lines, then “Answer: (”",
        example_prompt="\n".join(
            [
                "The following are multiple choice questions (with answers).",
                "",
                'Which option is the word "stone"?',
                *lines,
                "Answer: (",
            ]
        ),
        labels=labels,
        prompts=questions * choices,
        questions=questions,
        shots=0,
        dtype="float32",
        device="cpu (2 cores)",
        seed=0,
    )


def _behaviour(choices: int, questions: int, *, bound: float) -> BehaviourFindings:
    generator = np.random.default_rng(choices)
    matrix = generator.normal(0, 0.12, (choices, choices)) + bound * np.eye(choices)
    matrix = matrix + np.linspace(0.3, -0.3, choices)
    matrix = matrix - matrix.mean(axis=1, keepdims=True)
    chance = 1 / choices
    right = chance + (0.68 if bound > 1 else 0.01)
    chosen = generator.dirichlet(np.full(choices, 40.0))

    def number(mean: float, width: float = 0.06) -> Interval:
        return estimate(mean, width, questions)

    return BehaviourFindings(
        accuracy=number(min(right, 0.93)),
        prior_corrected_accuracy=number(min(right, 0.93)),
        consistent_accuracy=number(0.74 if bound > 1 else 0.02, 0.09),
        net_logit=number(1.9 * bound),
        loss=number(0.52),
        loss_outside=number(0.11),
        loss_inside=number(0.41),
        answer_mass=number(0.91, 0.02),
        accuracy_by_gold=tuple((right + generator.normal(0, 0.04, choices)).tolist()),
        share_by_letter=tuple(chosen.tolist()),
        letter_prior=tuple(matrix.mean(axis=0).tolist()),
        gold_by_letter=tuple(map(tuple, matrix.tolist())),
        kept_questions=int(0.76 * questions) if bound > 1 else 1,
        gate=Gate(
            open=True,
            selectivity=1.83,
            null_low=-0.16,
            null_high=0.17,
            p_value=0.0005,
            null="golds shifted within each question",
            reason="the gold letter moves the logits (D = 1.83, null -0.16 to 0.17).",
        ),
    )


def _nodes(
    generator: np.random.Generator, layers: int, heads: int, choices: int
) -> tuple[NodeFound, ...]:
    """Pointer heads late in the model, one content block, one negative head, noise."""
    last = layers - 1
    strong = {
        (last - 2, 1): (1.31, 1.74, 0.02, "correct_letter"),
        (last - 2, 4): (0.84, 0.97, -0.01, "correct_letter"),
        (last - 1, 0): (0.42, 0.42, 0.01, "amplifier"),
        (last - 1, 3): (0.51, 0.50, 0.03, "letter_specific"),
        (last - 1, -1): (0.37, 0.45, 0.21, ""),
        (last, -1): (0.30, 0.30, 0.04, ""),
        (last, 2): (-0.47, -0.41, 0.01, "negative"),
        (last - 4, 2): (0.01, 0.66, 0.01, "content_gatherer"),
        (last - 3, 5): (0.02, 0.01, 0.52, "late"),
        (last - 4, -1): (0.04, 0.05, 0.38, ""),
        (last - 2, 6): (0.01, 0.01, 0.0, "single_letter"),
        (last - 3, 0): (0.0, 0.01, 0.0, "uniform"),
    }
    found = []
    for layer in range(layers):
        for head in [*range(heads), -1]:
            noise = generator.normal(0, 0.012, 3)
            effects = strong.get((layer, head), (*noise, "" if head < 0 else "other"))
            found.append(_node(generator, layer, head, effects, choices))
    return tuple(found)


def _node(generator, layer: int, head: int, effects: tuple, choices: int) -> NodeFound:
    rotation, total, placebo, head_class = effects
    width = 0.015 + 0.07 * abs(rotation)
    direct = {
        "rotation": estimate(rotation, width),
        "other": estimate(rotation + placebo, width),
        "placebo": estimate(placebo, width),
    }
    return NodeFound(
        name=f"L{layer}MLP" if head < 0 else f"L{layer}H{head}",
        layer=layer,
        head=head,
        head_class=head_class,
        direct=direct,
        total={kind: estimate(total + 0.1 * placebo, 0.04) for kind in KINDS},
        loss=estimate(0.31 * total, 0.03),
        loss_outside=estimate(0.04 * total, 0.01),
        loss_inside=estimate(0.27 * total, 0.03),
        promotion=float(generator.normal(0, 0.2)),
        letter_prior=tuple(generator.normal(0, 0.15, choices).tolist()),
        selectivity=rotation * 0.8,
        p_value=0.0004 if abs(rotation) > 0.2 else 0.4,
    )


def _joint(size: int, every: int, questions: int) -> tuple[JointFound, ...]:
    def joint(kind: str, size: int, share: float, width: float) -> JointFound:
        return JointFound(
            kind=kind,
            size=size,
            sufficiency=estimate(share, width, questions),
            necessity=estimate(share if width == 0 else 0.93 * share, width, questions),
            refused="",
        )

    curve = [
        joint("cumulative", each, 0.84 * (1 - 0.6**each) / (1 - 0.6**size), 0.06)
        for each in range(1, size + 1)
    ]
    return (
        joint("selected", size, 0.84, 0.06),
        joint("next_best", size, 0.21, 0.07),
        joint("random", size, 0.06, 0.05),
        joint("all", every, 1.0, 0.0),
        *curve,
    )


def _screening(questions: int) -> ScreeningFound:
    """What the next in rank do, they do through the set."""

    def one(whole: float, left: float) -> ScreenedFound:
        shares = (left * whole, 0.93 * left * whole, left, left)
        found = [estimate(share, 0.04, questions) for share in shares]
        return ScreenedFound(
            sufficiency=found[0], necessity=found[1], sufficiency_left=found[2],
            necessity_left=found[3],
        )  # fmt: skip

    return ScreeningFound(selected=one(0.84, 0.98), next_best=one(0.21, 0.04))


def _heads(generator: np.random.Generator, nodes: tuple[NodeFound, ...], choices: int):
    """One tile for each head with a class, and a few without."""
    plain = [node for node in nodes if node.head_class == "other"][:5]
    for node in [*(node for node in nodes if node.head >= 0), *plain]:
        if node.head_class == "other" and node not in plain:
            continue
        shares = _shares(generator, node.head_class, choices)
        diagonal = np.diagonal(shares)
        others = (shares.sum(axis=0) - diagonal) / (choices - 1)
        masses = generator.dirichlet(np.ones(len(KEY_CLASSES)))
        yield HeadFound(
            name=node.name,
            layer=node.layer,
            head=node.head,
            head_class=node.head_class,
            label_mass=float(generator.uniform(0.2, 0.9)),
            follows=tuple((diagonal - others).tolist()),
            gold_by_attended=tuple(map(tuple, shares.tolist())),
            mass_by_class=dict(zip(KEY_CLASSES, masses.tolist(), strict=True)),
            reason="s of every letter is at least 0.2",
        )


def _shares(generator, head_class: str, choices: int) -> np.ndarray:
    shares = generator.dirichlet(np.full(choices, 8.0), choices)
    if head_class in {"correct_letter", "negative", "letter_specific"}:
        follows = np.eye(choices)
        if head_class == "letter_specific":
            follows[0] = follows[-1] = 1 / choices
        shares = 0.25 * shares + 0.75 * follows
    if head_class == "single_letter":
        shares = 0.2 * shares + 0.8 * np.eye(choices)[:1]
    if head_class == "uniform":
        shares = np.full((choices, choices), 1 / choices)
    return shares
