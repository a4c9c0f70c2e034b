"""SmolLM2-135M-Instruct on word copy: the negative control.

What: a model that answers at chance. The tool must say that there is no circuit to
find, not find one.
Command: mcq-jax run configs/smollm2_word_copy.py
         --model PATH/smollm2-135m-instruct-q4_1.gguf
Time: about a minute on 2 cores.
Expect: "No circuit to find", D not above its null.
"""

from mcq_jax.experiments import RunConfig


def config() -> RunConfig:
    return RunConfig(
        title="Word copy, the negative control",
        model="models/smollm2-135m-instruct-q4_1.gguf",
        questions="word_copy",
        question_count=100,
        out="runs/smollm2-word-copy",
    )
