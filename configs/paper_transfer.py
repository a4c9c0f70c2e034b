"""One circuit for several tasks? MMLU's nodes on word copy and copy colour, and back.

And a task that is not multiple choice: word repetition, made of the same words, whose
answers are words and no letters. Nodes that suffice there are generic.
Command: mcq-jax run configs/paper_transfer.py --questions PATH/mmlu
         --model PATH/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf
Time: about two hours on 2 cores, by the estimate: every task's nodes are patched.
Resumable.
Expect: not run to its end yet.
"""

from mcq_jax.experiments import (
    Behaviour,
    HeadClasses,
    JointTests,
    NodeEffects,
    PromptOptions,
    RunConfig,
    Transfer,
)


def config() -> RunConfig:
    return RunConfig(
        title="Transfer between tasks: Qwen2.5-Coder-1.5B",
        name="MMLU",
        model="models/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        questions="data/mmlu",
        question_count=140,
        longest_prompt=144,
        effect_questions=20,
        experiments=(
            Behaviour(),
            NodeEffects(),
            JointTests(),
            HeadClasses(),
            Transfer(tasks=("word copy", "copy colour", "word repetition")),
        ),
        other_prompts=(
            PromptOptions(name="word copy", questions="word_copy", question_count=40),
            PromptOptions(
                name="copy colour", questions="copy_colour", question_count=40
            ),
            PromptOptions(
                name="word repetition",
                questions="word_repetition",
                are_pairs=True,
                question_count=40,
            ),
        ),
        out="runs/paper-transfer",
    )
