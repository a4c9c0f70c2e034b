"""Word copy, continued: the content's way, the drawn circuit, learned subspaces.

Command: mcq-jax run configs/paper_word_copy_route.py
         --model PATH/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf
It goes on in the folder of paper_word_copy.py, whose nodes and heads it takes up.
Time: not run to its end yet; hours on 2 cores, resumable.
Expect: nothing yet.
"""

import dataclasses

import paper_word_copy

from mcq_jax.experiments import (
    USUAL,
    ContentRoute,
    DrawnCircuit,
    LearnedSubspaces,
    Mutated,
    PaperClaims,
    RunConfig,
)


def config() -> RunConfig:
    return dataclasses.replace(
        paper_word_copy.config(),
        experiments=(
            *USUAL,
            ContentRoute(
                layer_step=4, prompts_per_question=1, options_first="options first"
            ),
            DrawnCircuit(prompts_per_question=1),
            LearnedSubspaces(),
            PaperClaims(),
        ),
        other_prompts=(Mutated(name="options first", mutation="options_first"),),
    )
