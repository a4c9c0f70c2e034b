"""One circuit for several tasks? MMLU's nodes on word copy and copy colour, and back.

And a task that is not multiple choice: word repetition, made of the same words, whose
answers are words and no letters. Nodes that suffice there are generic. All questions
are asked in the same template, so tasks differ by what is asked.
Command: mcq-jax run configs/paper_transfer.py --questions PATH/mmlu
         --model PATH/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf
It goes on in the folder of paper_mmlu.py, whose nodes it takes up.
Time: about an hour on 2 cores behind that card, two without it; resumable.
Expect: every multiple choice task's nodes restore 0.70 to 0.90 on the others, nothing
on word repetition; three dimensions 0.69 to 0.83. See docs/findings.md.
"""

import dataclasses

import paper_mmlu

from mcq_jax.experiments import (
    Behaviour,
    HeadClasses,
    JointTests,
    NodeEffects,
    PromptOptions,
    RunConfig,
    Transfer,
)

TASKS = ("word copy", "copy colour", "word repetition")


def config() -> RunConfig:
    return dataclasses.replace(
        paper_mmlu.config(),
        experiments=(
            Behaviour(),
            NodeEffects(),
            JointTests(),
            HeadClasses(),
            Transfer(tasks=TASKS),
        ),
        other_prompts=tuple(
            PromptOptions(
                name=task,
                questions=task.replace(" ", "_"),
                are_pairs=task == "word repetition",
                question_count=20,
                template="paper",
            )
            for task in TASKS
        ),
    )
