"""`chunk_bytes`: what lies in memory at once while a chunk runs, by one formula.

It compiles nothing, and is coarse: to refuse what can never fit, to see that all surely
fits, and to begin a search with. The compiler's own count is `compile_all`.
"""

from mcq_jax.model.config import ModelConfig


def chunk_bytes(
    config: ModelConfig,
    *,
    prompts: int,
    tokens: int,
    rows: int = 0,
    seen: int = 0,
    number_bytes: int = 4,
) -> float:
    """Returns the bytes of a pass over prompts and of rows resumed from it.

    Every layer's keys and values stay. Beside them is the prompts' own pass, or the
    rows that advance through a layer: the one is over when the other begins. Parameters
    are not counted.

    Args:
        tokens: of the longest prompt.
        rows: tokens that advance together, of all prompts and their sources.
        seen: numbers that captures of the rows keep.
        number_bytes: of an activation.
    """
    temporaries = _temporaries(config, keys=tokens)
    kept = 2 * config.layers * config.kv_heads * config.head_width
    # Where prompts begin alike, the pass has fewer temporaries and holds the beginnings
    # beside what is joined of them: never more than all keys and values twice.
    of_prompts = prompts * tokens * max(temporaries, kept)
    running = max(of_prompts, rows * temporaries)
    return float(number_bytes) * (prompts * tokens * kept + running + seen)


def _temporaries(config: ModelConfig, *, keys: int) -> int:
    """Numbers alive at once for one token in one layer, rounded up.

    Residual and its copies, neurons with gate and product, scores and pattern (and
    scores by distance); about a third more than the compiler was seen to take for a
    1.5B model.
    """
    scores = (3 if config.relative_positions else 2) * config.heads * keys
    return 6 * config.width + 3 * config.neurons + scores
