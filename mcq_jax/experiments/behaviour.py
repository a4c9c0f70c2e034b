"""Does the model do the task? Every prompt once, answers and loss, and the gate."""

import dataclasses
import functools
from typing import TYPE_CHECKING

import numpy as np

from mcq_jax import metrics, passes, prompts
from mcq_jax.experiments.experiment import Experiment
from mcq_jax.experiments.study import Study, split_in_two, study_pairs, study_questions
from mcq_jax.metrics import Gate
from mcq_jax.passes.shared_prefix import common_prefix
from mcq_jax.results import BehaviourFindings
from mcq_jax.sweeps.sources import choose_sources

if TYPE_CHECKING:
    from mcq_jax.experiments.lab import Lab

Columns = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Behaviour(Experiment):
    """Asks every prompt, and whether the right letter moves the answers at all."""

    name = "behaviour"
    findings = BehaviourFindings
    explains = False

    def run(self, lab: "Lab") -> BehaviourFindings:
        gate, kept, base = judged(lab)
        lab.progress.say(gate.reason)
        enough = lab.study is not None if gate.open else True
        return describe(base, len(np.unique(kept)), gate, enough)


def asked(lab: "Lab") -> Columns:
    """Returns the table `behaviour`, one row per prompt in the prompt set's order."""
    return lab.once("behaviour", lambda: _ask(lab))


def judged(lab: "Lab") -> tuple[Gate, np.ndarray, Columns]:
    """Returns the gate, the questions to study, and the table of the main prompts."""
    return lab.once("judged", lambda: _judge(lab))


def fresh_names(lab: "Lab") -> list[str]:
    """Returns the questions that pass the filter and were not studied, as asked."""
    _, kept, _ = judged(lab)
    fresh = set(kept.tolist()) - set(lab.studied.question.tolist())
    return [name for name in dict.fromkeys(lab.prompts.question.tolist())
            if name in fresh]  # fmt: skip


def names_to_read(lab: "Lab", at_most: int | None) -> list[str]:
    """Returns the first of the fresh questions; refuses fewer than two."""
    fresh, asked = fresh_names(lab), set(lab.prompts.question.tolist())
    if len(fresh) < 2:
        raise ValueError(
            f"{len(fresh)} of {len(asked)} questions pass the filter and were not "
            "studied, and heads are read on others than they were named by; ask more "
            "(question_count) than are studied (effect_questions)."
        )
    return fresh[:at_most]


def choose_study(lab: "Lab") -> Study | None:
    """Returns the prompts to patch: the first kept questions, split in two.

    None where the gate is closed, or a half has fewer than two questions, without which
    there are neither sources from another question nor intervals.
    """
    config, asked = lab.config, lab.prompts
    gate, kept, _ = judged(lab)
    if not gate.open:
        return None
    chosen = _first(kept, asked.question, config.effect_questions)
    pairs = asked.pair_source
    candidates = asked.question if pairs is None else asked.question[: len(pairs)]
    index = np.flatnonzero(np.isin(candidates, chosen))
    question, gold = asked.question[index], asked.gold[index]
    choosing = split_in_two(
        question, fraction=config.choosing_fraction, seed=config.seed
    )
    if choosing is None:
        return None
    if pairs is not None:
        return study_pairs(asked, index, choosing)
    sources = choose_sources(question, gold, choosing, seed=config.seed)
    return study_questions(asked, chosen, choosing, sources)


def _ask(lab: "Lab") -> Columns:
    checkpoint, asked = lab.checkpoint, lab.prompts
    about = {
        "question": asked.question,
        "rotation": asked.rotation,
        "subject": asked.subject,
        "gold": asked.gold,
        "gold_place": asked.gold_place,
        "gold_letter": asked.gold_letter,
        "tokens": asked.length,
    }

    @functools.cache
    def prefix() -> passes.Prefix | None:  # a table that is finished needs none
        return common_prefix(
            checkpoint.parameters, asked.prompts, config=checkpoint.config
        )

    def answer(chunk):
        here = prompts.batch_of([asked.prompts[i] for i in chunk])
        before = prefix()
        behind = 0 if before is None else before.length
        return passes.answer_prompts(
            checkpoint.parameters,
            here.ids[:, behind:],
            here.lengths - behind,
            here.answer_ids,
            config=checkpoint.config,
            prefix=before,
            repeats=len(chunks),
        )

    def columns(chunk, found):
        answer_logits, log_normaliser = found
        return {name: column[chunk] for name, column in about.items()} | {
            "prompt": chunk,
            "answer_logits": answer_logits,
            "log_normaliser": log_normaliser,
        }

    size = lab.config.batch
    chunks = [here.index for here in prompts.batches(asked.prompts, size=size)]
    kept = lab.table("behaviour", {"prompts": asked.identity, "chunks": chunks})
    table = kept.complete(chunks, answer, columns, track=lab.track("asking"))
    order = np.argsort(table["prompt"])
    return {name: column[order] for name, column in table.items()}


def _judge(lab: "Lab") -> tuple[Gate, np.ndarray, Columns]:
    config, table = lab.config, asked(lab)
    sources = lab.prompts.pair_source
    if sources is not None:
        half = len(sources)
        base = {name: column[:half] for name, column in table.items()}
        source = {name: column[half:] for name, column in table.items()}
        gate = metrics.gate_of_pairs(
            metrics.nets(base["answer_logits"], base["gold"]),
            metrics.nets(source["answer_logits"], base["gold"]),
            base["question"],
            seed=config.seed,
        )
        chosen = metrics.predictions(base["answer_logits"], without_prior=False)
        right = chosen == base["gold"]
        kept = base["question"][right] if config.filters else base["question"]
        return gate, kept, base
    gate = metrics.gate(
        table["answer_logits"], table["gold"], table["question"], seed=config.seed
    )
    kept = np.unique(table["question"])
    if config.filters:
        kept = metrics.kept_questions(
            table["answer_logits"], table["gold"], table["question"]
        )
    return gate, kept, table


def _first(kept: np.ndarray, question: np.ndarray, count: int) -> list[str]:
    """Returns the first of the kept questions, in the order in which they are asked."""
    names = set(kept.tolist())
    in_order = dict.fromkeys(question.tolist())
    return [name for name in in_order if name in names][:count]


def describe(table: Columns, kept: int, gate: Gate, enough: bool) -> BehaviourFindings:
    """Returns accuracy, loss and letter biases over all prompts of the table."""
    found = metrics.measure_behaviour(
        table["answer_logits"],
        table["log_normaliser"],
        table["gold"],
        table["question"],
        table["rotation"],
    )
    matrix = metrics.gold_by_letter(table["answer_logits"], table["gold"])
    return BehaviourFindings(
        accuracy=found.raw_accuracy,
        prior_corrected_accuracy=found.prior_corrected_accuracy,
        consistent_accuracy=found.consistent_accuracy,
        net_logit=found.net,
        loss=found.loss,
        loss_outside=found.loss_outside,
        loss_inside=found.loss_inside,
        answer_mass=found.answer_mass,
        accuracy_by_gold=tuple(found.accuracy_by_gold_letter.tolist()),
        share_by_letter=tuple(found.share_by_letter.tolist()),
        letter_prior=tuple(found.letter_prior.tolist()),
        gold_by_letter=tuple(tuple(row) for row in matrix.tolist()),
        kept_questions=kept,
        gate=gate,
        enough_questions=enough,
    )
