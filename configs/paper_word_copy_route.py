"""Word copy, continued: the content's way, where it is decided, learned subspaces.

Command: mcq-jax run configs/paper_word_copy_route.py
         --model PATH/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf
It goes on in the folder of paper_word_copy.py, whose nodes and heads it takes up.
Time: the content's way 10 minutes on 2 quiet cores, the drawn circuit 11 to 14
beside other work, deciding and binding 19, learned subspaces 23. Resumable.
Expect: the words of options until layer 12, ends of lines at 16 and 20, the last token
at 24; L21H11, L21H8 and L21H9 fetch it. Place and letter go separate ways and meet at
the last token. The drawing restores 0.80 on held-out questions where as many random
edges restore nothing, on random paths neither. See docs/findings.md.
"""

import dataclasses

import paper_word_copy

from mcq_jax.experiments import (
    USUAL,
    ContentRoute,
    DecideThenBind,
    DrawnCircuit,
    LearnedSubspaces,
    Mutated,
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
            DecideThenBind(layer_step=4),
            # In front of 20 the last token holds neither place nor letter yet.
            LearnedSubspaces(layers=(22, 24)),
        ),
        other_prompts=(Mutated(name="options first", mutation="options_first"),),
    )
