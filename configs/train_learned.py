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
from mcq_jax.training.corpus import CorpusRecipe, Course

STEPS = 4000
DECLARED = CorpusRecipe(seed=900, rows=32)


def config() -> TrainingConfig:
    model = corpus.small_model()

    def evaluate(parameters, member):
        return corpus.measure(parameters, config=model, recipe=DECLARED)

    lessons = corpus.answering_lessons(DECLARED, STEPS)
    stream = Course(lessons, answer_weight=2.0)
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
