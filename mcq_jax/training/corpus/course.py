"""`Course`: corpora one after another, of which only what is told before counts.

A head that compares contents forms out of nothing while its gradient is small beside
that of everything else there is to predict. So a course scores only tokens that follow
from those before them, and begins with what trains such a head alone: short lists of
few things.
"""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

from mcq_jax.arguments import as_integer
from mcq_jax.axes import AnyArray
from mcq_jax.training.corpus.entropy import floor_of
from mcq_jax.training.corpus.recipe import CorpusRecipe
from mcq_jax.training.corpus.stream import Corpus
from mcq_jax.training.corpus.vocabulary import END, IDS
from mcq_jax.training.stream import Batch


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lesson:
    """What batches are of, as long as steps are below `until`."""

    until: int
    recipe: CorpusRecipe


class Course:
    """A stream: the corpus of the first lesson that is not over yet, else the last's.

    Args:
        lessons: in order; their recipes have one number of rows.
        answer_weight: of a question's answer; all else that is told has 1.
    """

    def __init__(self, lessons: tuple[Lesson, ...], *, answer_weight: float = 1.0):
        ends = [lesson.until for lesson in lessons]
        if not lessons or ends != sorted(set(ends)) or ends[0] < 1:
            raise ValueError(
                f"lessons end before the steps {ends}; give at least one, each with a "
                "later end."
            )
        self.lessons, self.answer_weight = tuple(lessons), answer_weight
        self._corpora = [Corpus(lesson.recipe) for lesson in lessons]

    def batch(self, step: int) -> Batch:
        """Returns the rows of a step (0, 1, …)."""
        step = as_integer(step, "a step")
        ends = [lesson.until for lesson in self.lessons[:-1]]
        place = int(np.searchsorted(ends, step, side="right"))
        ids = self._corpora[place].batch(step).ids
        return Batch(ids, told(ids, answer_weight=self.answer_weight))

    def floor(self, *, batches: int = 500) -> float:
        """Returns the least loss of the last lesson: that of answers that are drawn.

        All else that is scored follows from the text before, so the floor is the
        entropy of an answer by the answers' share of the weights, which is counted in
        so many of the lesson's batches. Nats per unit of weight, as a loss is.
        """
        corpus = self._corpora[-1]
        answers = total = 0.0
        for step in range(batches):
            ids = corpus.batch(step).ids
            weights = told(ids, answer_weight=self.answer_weight)[:, 1:]
            answers += float(weights[ids[:, :-1] == IDS["answer"]].sum())
            total += float(weights.sum())
        return floor_of(corpus.recipe).answer_nats * answers / total


def told(
    ids: Int[AnyArray, "row time"], *, answer_weight: float = 1.0
) -> Float[np.ndarray, "row time"]:
    """Returns weights that score what the text before decides, and nothing else.

    These are the answers of questions, what look-ups find, words copied and their end,
    and the first word of a stated fact. Answers that are drawn (`noise`) count as well.
    """
    ids = np.asarray(ids)
    before, before_that = (_shifted(ids, by) for by in (1, 2))
    answer = before == IDS["answer"]
    found = np.isin(before_that, [IDS["what"], IDS["where"]])
    stated = (before == IDS["is"]) & (ids != IDS["?"])
    place = np.arange(ids.shape[1])
    begun, ended = (
        np.maximum.accumulate(np.where(before == IDS[word], place, -1), axis=1)
        for word in (":", END)
    )
    weights = (found | stated | (begun > ended)).astype(np.float32)
    return np.where(answer, np.float32(answer_weight), weights)


def _shifted(ids: np.ndarray, by: int) -> np.ndarray:
    """The token so many places earlier, -1 where there is none."""
    return np.pad(ids, ((0, 0), (by, 0)), constant_values=-1)[:, : ids.shape[1]]
