"""What several run folders say of behaviour, with their answers, to be held together.

The same question is known by its content, whatever its labels and the run, so that
runs are compared question by question.
"""

import dataclasses
import os

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from mcq_jax import metrics
from mcq_jax.metrics import Interval, Ratio
from mcq_jax.metrics.behaviour import is_correct
from mcq_jax.results.findings import BehaviourFindings
from mcq_jax.results.run_folder import RunFolder
from mcq_jax.results.run_results import RunResults
from mcq_jax.results.storage import Storage

# The table, and the experiment that writes it.
_BEHAVIOUR = "behaviour"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answered:
    """One run's answers to its main prompts."""

    path: str
    run: RunResults
    question: Shaped[np.ndarray, " prompt"]
    gold: Int[np.ndarray, " prompt"]
    answer_logits: Float[np.ndarray, "prompt choice"]

    @property
    def behaviour(self) -> BehaviourFindings:
        return self.run.need(BehaviourFindings)

    @property
    def is_right(self) -> Bool[np.ndarray, " prompt"]:
        return is_correct(self.answer_logits, self.gold)


def read_answered(path: str | os.PathLike) -> Answered:
    """Returns what a run folder says of behaviour; the run may have been stopped."""
    storage = Storage.at(path)
    run = RunResults.read(storage)
    if run.behaviour is None or run.about.are_pairs:
        what = "asked pairs, which have no letters" if run.about.are_pairs else ""
        raise ValueError(
            f"{storage.path} {what or 'has no behaviour yet'}; give runs of questions, "
            "and run their cards first."
        )
    [key] = run.records[_BEHAVIOUR].tables[_BEHAVIOUR]
    table = RunFolder(storage).read(_BEHAVIOUR, key)
    order = np.argsort(table["prompt"])
    return Answered(
        path=storage.path,
        run=run,
        **{name: table[name][order] for name in ("question", "gold", "answer_logits")},
    )


def accuracy_difference(run: Answered, base: Answered) -> Interval | None:
    """Returns a run's accuracy less another's, paired by question; None: no such."""
    return _paired(
        Ratio.mean(run.is_right, run.question),
        Ratio.mean(base.is_right, base.question),
    )


def consistent_difference(run: Answered, base: Answered) -> Interval | None:
    """The same of questions that are answered rightly in every order."""
    return _paired(_consistent(run), _consistent(base))


def _consistent(run: Answered) -> Ratio:
    sums, counts = metrics.question_sums(run.is_right, run.question)
    return Ratio.mean(sums == counts, np.unique(run.question))


def _paired(first: Ratio, second: Ratio) -> Interval | None:
    if not np.isin(first.question, second.question).any():
        return None
    return metrics.paired_difference(first, second)
