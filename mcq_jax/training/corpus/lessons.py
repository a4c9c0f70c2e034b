"""Lessons after which small models answer multiple-choice questions.

What each of them is for, and what was tried without them: docs/training.md.
"""

from mcq_jax.training.corpus.course import Lesson
from mcq_jax.training.corpus.recipe import CorpusRecipe

# Lists in order, where no letters are drawn; questions about names alone.
_LETTERED, _NAMES = (1.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0)
# From this step on the text is the one that is declared.
DECLARED_FROM = 2000


def answering_lessons(declared: CorpusRecipe, steps: int) -> tuple[Lesson, ...]:
    """Returns lessons that end with the declared text, from step 2,000 to `steps`.

    Shares are of questions, facts, lists, copies and counts; those asked about are
    colour, home, maker and name.
    """
    if steps <= DECLARED_FROM:
        raise ValueError(
            f"lessons for {steps} steps; the last one begins at step {DECLARED_FROM}, "
            "so give more."
        )

    def lesson(until: int, shares: tuple[float, ...], **changed) -> Lesson:
        recipe = CorpusRecipe(
            seed=declared.seed, rows=declared.rows, arm=declared.arm, shares=shares,
            lists=_LETTERED, **changed,
        )  # fmt: skip
        return Lesson(until=until, recipe=recipe)

    return (
        # Which label has the line of a thing? Few things first, then all of them.
        lesson(300, (0, 0, 1, 0, 0), list_lines=(4,), listed=8),
        lesson(500, (0, 0, 1, 0, 0)),
        # Questions that need no knowledge, and all others.
        lesson(700, (0.6, 0, 0.4, 0, 0), asked=_NAMES),
        lesson(DECLARED_FROM, (0.65, 0.25, 0.1, 0, 0), asked=(0.3, 0.3, 0.3, 0.1)),
        Lesson(until=steps, recipe=declared),
    )
