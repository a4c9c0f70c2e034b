"""The mutation grid on word copy: the post's second key figure.

Rows are mutations of the same questions, columns edits of the correct-letter heads.
Declared beforehand, after the paper: other separators leave what the unmutated
dimensions recover as it is, random letters leave part of it, and with numbers the heads
carry less. All other cells describe.
Command: mcq-jax run configs/mutations_word_copy.py
         --model PATH/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf
Time: by the formula 2 hours on 2 cores; resumable, mutation by mutation.
Expect: not run to its end yet. 20 questions a row: intervals of about a tenth of what
is recovered, if the heads carry a tenth of the net logit.
"""

from mcq_jax.experiments import (
    USUAL,
    Contrast,
    Mutated,
    MutationGrid,
    RunConfig,
)

SEPARATORS = ("dot_behind", "colon_behind", "square_brackets")
OTHERS = (
    "permuted", "shuffled", "reversed", "ordered_letters", "random_letters", "numbers",
    "lower_case", "full_stops", "one_line", "prelude", "cue_solution",
    "options_first", "question_removed", "neutral_line", "2_options", "3_options",
    "none_of_the_above",
)  # fmt: skip


def config() -> RunConfig:
    return RunConfig(
        title="Word copy under mutations",
        model="models/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        questions="word_copy",
        question_count=60,
        effect_questions=24,
        experiments=(
            *USUAL,
            MutationGrid(
                fitting_questions=12,
                questions=20,
                contrasts=(
                    Contrast(
                        name="Separators", prompts=SEPARATORS, expects="lasts", by=0.2
                    ),
                    Contrast(
                        name="Random letters", prompts=("random_letters",), by=0.2
                    ),
                    Contrast(
                        name="Numbers", prompts=("numbers",), of="carried", by=0.2
                    ),
                ),
            ),
        ),
        other_prompts=tuple(
            Mutated(mutation=mutation) for mutation in (*SEPARATORS, *OTHERS)
        ),
        out="runs/mutations-word-copy",
    )
