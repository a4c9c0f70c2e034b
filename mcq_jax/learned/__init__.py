"""A small model that learned to answer multiple-choice questions, and what made it.

checkpoint/       its weights and tokenizer, as `load` opens them
recipe.json       how it was trained: settings, seed, lessons
curve.jsonl       the loss of every step, and accuracies along the way
questions.jsonl   of its own kind
LICENSE.txt       what may be done with them

`mcq-jax train configs/train_learned.py` makes it again (docs/training.md), and
`studies.shipping.ship` puts what was made here.
"""

import pathlib

_HERE = pathlib.Path(__file__).parent
CHECKPOINT = _HERE / "checkpoint"
RECIPE = _HERE / "recipe.json"
CURVE = _HERE / "curve.jsonl"
QUESTIONS = _HERE / "questions.jsonl"
