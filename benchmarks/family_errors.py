"""How far from `transformers` are we, family by family and type by type?

    PYTHONPATH=. python benchmarks/family_errors.py [word of a case …]

One tiny random model per family, as in tests/checkpoints/references.py, on 2 prompts of
20 tokens: the largest difference to the reference in float32. In bfloat16 the
reference itself is off by its rounding, which stands beside ours. Printed as the table
of docs/families.md.
"""

import pathlib
import sys
import tempfile

from tests.checkpoints import references
from tests.checkpoints.references import CASES

KINDS = ("logits", "residuals", "patterns")
CHOSEN = (
    "llama, rope of Llama 3",
    "mistral, window",
    "qwen2, grouped",
    "qwen3, grouped",
    "gemma, one key head",
    "gemma2, grouped",
    "gemma3, grouped, two ropes",
    "olmo2, grouped, tied",
    "smollm3, grouped",
    "phi3, grouped, window",
    "gpt2",
    "gpt_neox, parallel",
)


def main(words: list[str]) -> None:
    """Prints one row per case."""
    heads = [f"{kind}, {dtype}" for dtype in ("f32", "bf16") for kind in KINDS]
    print("| case | largest logit | " + " | ".join(heads) + " |")
    print("|---" * (len(heads) + 2) + "|")
    for name in words or CHOSEN:
        print(row(name), flush=True)


def row(name: str) -> str:
    """One case: ours in float32; in bfloat16 ours (and theirs)."""
    assert name in CASES, f"{name} is none of {list(CASES)}"
    tokens = references.random_tokens(2, 20)
    with tempfile.TemporaryDirectory() as folder:
        exact = references.build(name, pathlib.Path(folder))
        expected = references.theirs(exact, tokens)
        single = references.errors(references.ours(exact, tokens), expected)
    with tempfile.TemporaryDirectory() as folder:
        rounded = references.build(name, pathlib.Path(folder), dtype="bfloat16")
        half = references.errors(references.ours(rounded, tokens), expected)
        own = references.errors(references.theirs(rounded, tokens), expected)
    cells = [f"{single[kind]:.0e}" for kind in KINDS]
    cells += [f"{half[kind]:.2g} ({own[kind]:.2g})" for kind in KINDS]
    largest = abs(expected.logits).max()
    return f"| {name} | {largest:.1f} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main(sys.argv[1:])
