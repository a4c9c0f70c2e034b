"""A small model that learns to answer multiple-choice questions; the package has it.

What: 4 layers × 4 heads of width 64, 0.2M parameters, on the corpus of
`mcq_jax.training.corpus`: facts, lists, copies and questions, lesson by lesson.
Command: mcq-jax train configs/train_learned.py
Time: 3.4 minutes of one core; 10 minutes on two that much else shared.
Expect: "where" is looked up from step 500 on, all names are right from step 1,000 on,
plain questions 100 % at step 4,000 (of 500), those with new options 99 %, shuffled
labels 69 %, facts never asked 63 %. Losses in runs/learned/learned/curve.jsonl.
"""

from mcq_jax.training import Member, TrainingConfig, corpus
from mcq_jax.training.corpus import CorpusRecipe, Course, Lesson

STEPS = 4000
# Shares are of questions, facts, lists, copies and counts; those asked about are
# colour, home, maker and name. Lists are in order where no letters are drawn.
DECLARED = CorpusRecipe(seed=900, rows=32)


def lesson(until: int, shares: tuple[float, ...], **changed) -> Lesson:
    return Lesson(until=until, recipe=CorpusRecipe(
        seed=DECLARED.seed, rows=DECLARED.rows, shares=shares, **changed))  # fmt: skip


LETTERED, NAMES = (1.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0)
LESSONS = (
    # Which label has the line of a thing? Few things first, then all of them.
    lesson(300, (0, 0, 1, 0, 0), lists=LETTERED, list_lines=(4,), listed=8),
    lesson(500, (0, 0, 1, 0, 0), lists=LETTERED),
    # Questions that need no knowledge, and all others.
    lesson(700, (0.6, 0, 0.4, 0, 0), lists=LETTERED, asked=NAMES),
    lesson(2000, (0.65, 0.25, 0.1, 0, 0), lists=LETTERED, asked=(0.3, 0.3, 0.3, 0.1)),
    # The text as it is declared.
    Lesson(until=STEPS, recipe=DECLARED),
)


def config() -> TrainingConfig:
    model = corpus.small_model()

    def evaluate(parameters, member):
        return corpus.measure(parameters, config=model, recipe=DECLARED)

    stream = Course(LESSONS, answer_weight=2.0)
    return TrainingConfig(
        title="Learned",
        model=model,
        tokenizer=corpus.tokenizer(),
        members=(Member(name="learned", stream=stream, seed=900),),
        steps=STEPS,
        feedforward_start=0.1,
        decay_from=STEPS - 1200,
        checkpoints=tuple(range(0, STEPS, 250)),
        evaluate=evaluate,
        out="runs/learned",
    )
