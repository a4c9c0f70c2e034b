"""Do the heads of the circuit look at enumerators where nothing is asked?

One number per head and kind of text (sentences that count, lists by letter and by
number, steps, bullets, code): the share of a later token's attention that lies on
enumerators, less what as many other tokens of the same items get. Against the other
heads of its layer, and against a null in which any token of an item could be its
enumerator. The unit is the text; heads were named by multiple-choice questions.
"""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from mcq_jax import metrics, passes
from mcq_jax.experiments.experiment import Experiment
from mcq_jax.experiments.prompt_options import check_at_least
from mcq_jax.experiments.route_rows import letter_heads
from mcq_jax.planted import enumerations
from mcq_jax.prompts import (
    ListedText,
    TokenisedText,
    own_texts,
    read_texts,
    tokenise_texts,
)
from mcq_jax.results import (
    ElsewhereFindings,
    HeadElsewhere,
    KindElsewhere,
    TextShown,
    TokenShown,
)

if TYPE_CHECKING:
    from mcq_jax.experiments.config import RunConfig
    from mcq_jax.experiments.lab import Lab

OWN, PLANTED = "own", "planted"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Elsewhere(Experiment):
    """Measures attention to enumerators in texts that ask nothing."""

    name = "elsewhere"
    findings = ElsewhereFindings
    uses = ("head_classes",)
    explains = False  # it is about texts, whatever the questions came to

    # own: texts of our templates; planted: in a planted model's words; or a JSONL file,
    # {"text": …, "kind": …} a line.
    texts: str = OWN
    # Of our own texts, how many of each kind.
    texts_per_kind: int = 36
    # Longer texts, in tokens, are left out and counted.
    longest: int = 128
    # Texts that run together.
    batch: int = 8
    # Heads with the largest excess that are told of, beside the named ones.
    shown: int = 5
    draws: int = 500
    # Named heads look at enumerators of a kind if their rank's p is below this.
    level: float = 0.05

    def __post_init__(self):
        check_at_least(self, 2, "texts_per_kind", "longest")
        check_at_least(self, 1, "batch", "shown")
        check_at_least(self, 20, "draws")

    def check(self, config: "RunConfig") -> None:
        load(self, config.seed)  # whether its file is there, and can be read

    def run(self, lab: "Lab") -> ElsewhereFindings:
        every = tokenise_texts(load(self, lab.config.seed), lab.checkpoint.tokenizer)
        longest = min(self.longest, lab.checkpoint.config.context)
        texts = [text for text in every if len(text.ids) <= longest]
        if not texts:
            raise ValueError(
                f"all {len(every)} texts of {self.texts} are longer than {longest} "
                "tokens; raise `longest`, or give shorter ones."
            )
        received = measure(lab, texts, self.batch)
        return lab.decide(
            ElsewhereFindings,
            lambda: describe(lab, self, texts, received, len(every) - len(texts)),
        )


def load(options: Elsewhere, seed: int) -> tuple[ListedText, ...]:
    """Returns the texts that an experiment's options name."""
    if options.texts == OWN:
        return own_texts(options.texts_per_kind, seed=seed)
    if options.texts == PLANTED:
        return enumerations.texts(options.texts_per_kind, seed=seed)
    return read_texts(options.texts)


def measure(lab: "Lab", texts: list[TokenisedText], batch: int) -> list[np.ndarray]:
    """The table `elsewhere`: attention received, `[layer, head, position]` by text."""
    checkpoint = lab.checkpoint
    order = np.argsort([-len(text.ids) for text in texts], kind="stable")
    chunks = [order[i : i + batch] for i in range(0, len(order), batch)]
    # One width for each of a few lengths; a table has one for all.
    widths = [-(-len(texts[chunk[0]].ids) // 16) * 16 for chunk in chunks]
    by_chunk = {
        int(chunk[0]): width for chunk, width in zip(chunks, widths, strict=True)
    }

    def work(chunk: np.ndarray) -> np.ndarray:
        width = by_chunk[int(chunk[0])]
        tokens = np.zeros((len(chunk), width), np.int32)
        readers = np.zeros((len(chunk), width), bool)
        for row, text in enumerate(texts[i] for i in chunk):
            tokens[row, : len(text.ids)] = text.ids
            readers[row, : len(text.ids)] = text.readers()
        found = passes.attention_received(
            checkpoint.parameters, tokens, readers, config=checkpoint.config
        )
        return np.pad(np.asarray(found), [(0, 0)] * 3 + [(0, widths[0] - width)])

    made_of = {
        "texts": [[text.ids, text.enumerators] for text in texts],
        "chunks": chunks,
    }
    table = lab.table("elsewhere", made_of).complete(
        chunks,
        work,
        lambda chunk, found: {"text": chunk, "received": found},
        track=lab.track("reading texts"),
    )
    back = np.argsort(table["text"])
    return [
        table["received"][place][..., : len(text.ids)]
        for place, text in zip(back, texts, strict=True)
    ]


def describe(
    lab: "Lab",
    options: Elsewhere,
    texts: list[TokenisedText],
    received: list[np.ndarray],
    left_out: int,
) -> ElsewhereFindings:
    named = letter_heads(lab)
    seed, config = lab.config.seed, lab.checkpoint.config
    kinds, heads, examples = [], [], []
    for kind in dict.fromkeys(text.kind for text in texts):
        mine = [i for i, text in enumerate(texts) if text.kind == kind]
        found = metrics.enumerator_attention(
            [received[i].reshape(-1, received[i].shape[-1]) for i in mine],
            [texts[i].items() for i in mine],
            draws=options.draws, seed=seed,
        )  # fmt: skip
        excess = found.share - found.control
        by_head = excess.mean(axis=0).reshape(config.layers, config.heads)
        ranks = metrics.percentiles(by_head)
        rank = (None, None)
        if named:
            rank = metrics.group_percentile(ranks, named, seed=seed)
        kinds.append(
            KindElsewhere(
                kind=kind, texts=len(mine), excess=tuple(map(tuple, by_head.tolist())),
                percentile=rank[0], p_value=rank[1],
            )
        )  # fmt: skip
        largest = np.argsort(-by_head, axis=None, kind="stable")[: options.shown]
        largest = [divmod(int(at), config.heads) for at in largest]
        text = np.arange(len(mine))
        for place in dict.fromkeys([*named, *largest]):
            at = place[0] * config.heads + place[1]
            share, control, more = (
                metrics.interval(values[:, at], text, seed=seed)
                for values in (found.share, found.control, excess)
            )
            heads.append(
                HeadElsewhere(
                    name=f"L{place[0]}H{place[1]}", layer=place[0], head=place[1],
                    kind=kind, is_letter_head=place in named, share=share,
                    control=control, excess=more, percentile=float(ranks[place]),
                    p_value=float(found.p_value[at]),
                )
            )  # fmt: skip
        drawn = mine[np.random.default_rng(seed).integers(len(mine))]
        best = max(named or largest, key=lambda place: by_head[place])
        examples.append(_shown(texts[drawn], received[drawn], best))
    return ElsewhereFindings(
        source=options.texts,
        kinds=tuple(kinds),
        heads=tuple(heads),
        examples=tuple(examples),
        letter_heads=tuple(f"L{layer}H{head}" for layer, head in named),
        left_out=left_out,
        level=options.level,
    )


def _shown(text: TokenisedText, received: np.ndarray, head: tuple[int, int]):
    """A text as a head sees it, without its first token, where attention rests."""
    return TextShown(
        kind=text.kind,
        head=f"L{head[0]}H{head[1]}",
        tokens=tuple(
            TokenShown(
                text=piece,
                received=float(received[(*head, at)]),
                is_enumerator=at in text.enumerators,
            )
            for at, piece in enumerate(text.pieces)
            if at > 0
        ),
    )
