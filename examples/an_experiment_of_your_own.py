"""An experiment of your own: a class, its findings, and a section of the report.

Which nodes are needed in every question? For each node, the share of questions in which
patching it lowers the right letter's net logit by more than a tenth. It stands on the
tables that `node_effects` left, so nothing is patched again.

    mcq-jax run examples/an_experiment_of_your_own.py
    mcq-jax report runs/needed --card examples/an_experiment_of_your_own.py

This one file is the card as well: `config` lists the experiment, `SECTIONS` draws it.
"""

import dataclasses

import numpy as np

from mcq_jax.experiments import USUAL, Experiment, Lab, RunConfig
from mcq_jax.experiments.node_effects import effects_of, per_node
from mcq_jax.interventions import all_nodes
from mcq_jax.report.claims import SUPPORTED, UNDECIDED, Claim
from mcq_jax.report.section import Section, Titled
from mcq_jax.report.table import Cell, Row, Table
from mcq_jax.results import RunResults


@dataclasses.dataclass(frozen=True, kw_only=True)
class NeededFindings:
    """What is kept in `findings/needed.json`: plain numbers and short texts."""

    nodes: tuple[str, ...]
    # Share of questions in which each of them is needed.
    share: tuple[float, ...]
    questions: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Needed(Experiment):
    """In how many questions is each node needed?"""

    name = "needed"
    findings = NeededFindings
    needs = ("node_effects",)

    # Of the clean net logit; a field is an option: `--needed.fall 0.2`.
    fall: float = 0.1

    def run(self, lab: Lab) -> NeededFindings:
        total = per_node(effects_of(lab).total)  # [prompt, layer, node], net logits
        question, model = lab.studied.question, lab.checkpoint.config
        clean = np.abs(total).max()
        is_needed = total > self.fall * clean
        by_question = np.stack(
            [is_needed[question == name].any(axis=0) for name in np.unique(question)]
        )
        share = by_question.mean(axis=0)  # [layer, node]
        ranked = sorted(
            all_nodes(model.layers, model.heads),
            key=lambda node: -share[node.layer, node.column(model.heads)],
        )
        return NeededFindings(
            nodes=tuple(str(node) for node in ranked[:10]),
            share=tuple(
                float(share[node.layer, node.column(model.heads)])
                for node in ranked[:10]
            ),
            questions=len(by_question),
        )


def section(run: RunResults) -> Section | None:
    """Its part of the report; without one the numbers are shown as they are."""
    found = run.get(NeededFindings)
    if found is None:
        return None
    rows = tuple(
        Row(name=node, cells=(Cell(text=f"{share:.0%}", bar=share),))
        for node, share in zip(found.nodes, found.share, strict=True)
    )
    always = [n for n, s in zip(found.nodes, found.share, strict=True) if s == 1]
    return Section(
        anchor="needed",
        short="Needed",
        title="Which nodes are needed in every question?",
        text=f"Of {found.questions} questions, those in which patching the node costs "
        "more than a tenth of the largest effect.",
        tables=(Titled(table=Table(columns=("node", "questions"), rows=rows)),),
        claims=(
            Claim(
                text="Some node is needed in every question",
                status=SUPPORTED if always else UNDECIDED,
                why=", ".join(always) or "none was",
            ),
        ),
        experiment="needed",
    )


SECTIONS = (section,)


def config() -> RunConfig:
    return RunConfig(
        title="Which nodes are always needed?",
        model="planted",
        questions="planted",
        question_count=8,
        effect_questions=8,
        experiments=(*USUAL, Needed()),
        out="runs/needed",
    )
