"""What is saved by running once what prompts begin with, in asking and taking apart?

    python -m benchmarks.common_beginnings MMLU [--model GGUF] [--questions 200]
        [--shots 0 5] [--every 1]

MMLU is a folder of questions as `mcq-jax run` takes it; without one nothing is run. All
questions in four rotations: asked in batches of eight prompts, the longest first, and
taken apart a question at a time, as the main job does. SmolLM2-135M from its file, or
its shape with random weights, which answers nonsense as fast.

FLOPs are those of the layers, padding included, for all batches; the limit is how often
a batch's prompts hold each token of their prefix tree, without padding. Seconds are CPU
seconds of the process, each batch run whole and with shared beginnings in turn, after
both were compiled; of every n-th batch only, if asked so, and then times n. Programs
are the different widths that a pass compiles for.
"""

import argparse
import pathlib
import re
import time
from unittest import mock

import jax
import numpy as np

from benchmarks.shapes import SMOLLM2_135M, draw
from mcq_jax import checkpoints, passes, prompts
from mcq_jax.checkpoints import Checkpoint
from mcq_jax.experiments.node_effects import take_apart
from mcq_jax.passes import prefix_tree
from mcq_jax.passes.prefix_tree import Level

_ROW = "{:5}  {:8}  {:6}  {:>6}  {:>6}  {:>5}  {:>5}  {:>6}  {:>6}  {:>5}  {:>9}"


def main() -> None:
    """Prints one row per number of worked examples and use."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mmlu", type=pathlib.Path)
    parser.add_argument("--model", type=pathlib.Path)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--shots", type=int, nargs="+", default=[0, 5])
    parser.add_argument("--every", type=int, default=1)
    asked = parser.parse_args()
    if not asked.mmlu.exists():
        print(f"skipped: there are no questions at {asked.mmlu}.")
        return
    texts = {n: _render(asked.mmlu, asked.questions, n) for n in asked.shots}
    if asked.model:
        checkpoint = checkpoints.load(str(asked.model))
    else:
        checkpoint = _with_random_weights(sum(texts.values(), []))
    print(
        _ROW.format(
            *("shots", "use", "prompts", "before", "TFLOP", "times", "limit"),
            *("before", "CPU s", "times", "programs"),
        )
    )
    for shots in asked.shots:
        tokenised = [prompts.tokenise(t, checkpoint.tokenizer) for t in texts[shots]]
        for use, batches in _uses(tokenised).items():
            _measure(shots, use, batches, checkpoint, asked.every)


def _measure(shots: int, use: str, batches, checkpoint, every: int) -> None:
    config = checkpoint.config
    counts, distinct, widths = np.zeros(2), np.zeros(2), (set(), set())
    for batch in batches:
        padded = prompts.batch_of(batch)
        whole = (Level.whole(padded.ids, padded.lengths),)
        tree = prefix_tree.prefix_tree(
            padded.ids, padded.lengths, config, repeats=len(batches)
        )
        distinct += padded.lengths.sum(), len(_beginnings(batch))
        for way, levels in enumerate((whole, tree)):
            counts[way] += prefix_tree.flops(levels, config) / 1e12
            shapes = [level.tokens.shape for level in levels]
            widths[way].update(tuple(shapes[: n + 1]) for n in range(len(shapes)))
    seconds = np.zeros(2)
    for batch in batches[every // 2 :: every]:
        run = _run(use, batch, checkpoint, len(batches))
        with mock.patch.object(prefix_tree, "prefix_tree", _whole):
            run()
            seconds[0] += _seconds(run)
        run()
        seconds[1] += _seconds(run)
    seconds *= every
    print(
        _ROW.format(
            shots, use, sum(map(len, batches)),
            *(f"{n:.1f}" for n in counts), f"{counts[0] / counts[1]:.2f}",
            f"{distinct[0] / distinct[1]:.2f}",
            *(f"{n:.0f}" for n in seconds), f"{seconds[0] / seconds[1]:.2f}",
            " ".join(str(len(shapes)) for shapes in widths),
        ),
        flush=True,
    )  # fmt: skip


def _uses(tokenised):
    asking = [
        [tokenised[i] for i in batch.index]
        for batch in prompts.batches(tokenised, size=8)
    ]
    apart = [tokenised[i : i + 4] for i in range(0, len(tokenised), 4)]
    return {"asking": asking, "apart": apart}


def _run(use: str, batch, checkpoint, repeats: int):
    padded = prompts.batch_of(batch)
    if use == "apart":
        return lambda: take_apart(checkpoint, batch, repeats=repeats)
    return lambda: passes.answer_prompts(
        checkpoint.parameters, padded.ids, padded.lengths, padded.answer_ids,
        config=checkpoint.config, repeats=repeats,
    )  # fmt: skip


def _whole(tokens, lengths, *_, **__):
    return (Level.whole(tokens, lengths),)


def _seconds(run) -> float:
    begun = time.process_time()
    jax.block_until_ready(run())
    return time.process_time() - begun


def _beginnings(batch) -> set[bytes]:
    """The nodes of a prefix tree: whatever some prompt begins with."""
    return {p.ids[: n + 1].tobytes() for p in batch for n in range(len(p.ids))}


def _render(folder: pathlib.Path, count: int, shots: int):
    examples = prompts.load_shots(folder, count=shots, seed=1) if shots else {}
    texts = []
    for question in prompts.load_question_set(folder, count=count, seed=0).questions:
        chosen = prompts.shots_for(question, examples, count=shots) if shots else ()
        template = prompts.TEMPLATES["paper"]
        texts += prompts.render_rotations(question, template, shots=chosen)
    return texts


def _with_random_weights(texts) -> Checkpoint:
    """A token is a word here, so that prompts are a little shorter."""
    words = {
        word for t in texts for word in re.findall(r"<\w+>|\w+|\n|[^\w\s]", t.text)
    }
    return Checkpoint(
        parameters=draw(SMOLLM2_135M),
        config=SMOLLM2_135M,
        tokenizer=prompts.WordTokenizer(sorted(words)),
        name="random weights",
        content_hash="",
    )


if __name__ == "__main__":
    main()
