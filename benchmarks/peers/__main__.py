"""What does patching every node at the answer position cost, here and elsewhere?

    python -m benchmarks.peers [--tokens 50 150 512 1024] [--prompts 1 16]
    python -m benchmarks.peers --gguf MODEL.gguf [--mmlu FOLDER]

The same weights, prompts, sources and threads for everyone, float32, all in one process
and in turn: our engine and our full passes, what people use (torch hooks,
TransformerLens, nnsight, pyvene, each as its documentation does it), and the best that
we could write in torch. SmolLM2-135M's shape with random weights, or a published
checkpoint on a question of word copy (and of MMLU). Every contender first has to give
our answer logits. Contenders that pay per patch run a few, and the rest is multiplied.

Marginal: without the prompts' own pass, where a contender has one; end to end: with it.
The sources' pass is left out, but for pyvene, which runs the source inside each call.
The limits are those of our sweep: its FLOPs at the rate of a large matrix product, its
bytes (weights, keys and values read once) at the rate of a plain read.

Needs the peers extra. Typical output: see benchmarks/README.md.
"""

import argparse
import os
import pathlib
from collections.abc import Iterator

os.environ.setdefault("TQDM_DISABLE", "1")  # TransformerLens draws one bar per cell

from benchmarks.peers import (  # noqa: E402
    best_torch,
    models,
    ours,
    prompts,
    report,
    with_hooks,
    with_nnsight,
    with_pyvene,
    with_transformer_lens,
)
from benchmarks.peers.task import Contender, Task  # noqa: E402
from benchmarks.side_by_side import product_rate, race, read_rate, use_cores  # noqa: E402


def main() -> None:
    """Prints one table per size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tokens", type=int, nargs="+", default=[50, 150, 512, 1024])
    parser.add_argument("--prompts", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--gguf", type=pathlib.Path)
    parser.add_argument("--mmlu", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--patience", type=float, default=20.0, help="seconds")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--best-only", action="store_true", help="leave libraries out")
    asked = parser.parse_args()
    use_cores(asked.cores)
    rates = report.Rates(max(product_rate(9).values()), read_rate(5))
    for task in _tasks(asked):
        contenders = _contenders(task, best_only=asked.best_only)
        report.check_answers(task, contenders)
        runs = {c.name: c.sweep for c in contenders}
        passes = {
            f"{c.name}, prompts": c.prompt_pass for c in contenders if c.prompt_pass
        }
        times = race(runs | passes, asked.rounds, asked.patience)
        report.print_table(task, contenders, times, rates)


def _tasks(asked) -> Iterator[Task]:
    if asked.gguf is None:
        twins = models.smollm2_shape()
        for count in asked.prompts:
            for tokens in asked.tokens:
                yield prompts.random_task(twins, tokens=tokens, prompt_count=count)
        return
    twins = models.from_gguf(asked.gguf)
    yield prompts.word_copy_task(twins)
    if asked.mmlu is not None:
        yield prompts.mmlu_task(twins, asked.mmlu)


def _contenders(task: Task, *, best_only: bool) -> list[Contender]:
    """Ours first: the others are checked against it."""
    # `best_torch` joins weights and makes the model's own views of them: before copies.
    contenders = [ours.resumed(task), best_torch.contender(task)]
    if best_only:
        return contenders
    return contenders + [
        ours.full_passes(task),
        with_hooks.contender(task),
        with_transformer_lens.contender(task),
        with_nnsight.contender(task, together=False),
        with_nnsight.contender(task, together=True),
        with_pyvene.contender(task),
    ]


if __name__ == "__main__":
    main()
