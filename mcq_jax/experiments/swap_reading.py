"""Swaps read: which of the source's lines the base's choices, or a head, follow."""

import numpy as np
from jaxtyping import Float

from mcq_jax import metrics
from mcq_jax.experiments.swap_prompts import NO_LINE, SwapPrompts
from mcq_jax.metrics import Interval
from mcq_jax.results import Followed, SwapsFound

ANSWER, ATTENTION = "answer", "attention"


def describe(
    found: SwapPrompts,
    titles: list[tuple[str, int | None]],
    table: dict[str, np.ndarray],
    *,
    seed: int,
) -> SwapsFound:
    """Returns where choices go under each swap, and attention of each watched head.

    Args:
        titles: of the swaps, who and from which layer; those of equal titles are draws.
    """
    choices = found.choices
    chosen = np.eye(choices)[table["patched_logits"].argmax(axis=-1)]
    followed = []
    for title in dict.fromkeys(titles):
        draws = [i for i, other in enumerate(titles) if other == title]
        followed.append(_followed(found, title, chosen[:, draws], ANSWER, seed))
    watched = [name for name, layer in titles if layer is None]
    attention = np.moveaxis(table["attention"], 1, 0) if "attention" in table else ()
    for number, looks in enumerate(attention):
        total = looks.sum(axis=-1, keepdims=True)
        shares = looks / np.maximum(total, np.finfo(np.float32).tiny)
        title = (watched[1 + number], None)
        followed.append(_followed(found, title, shares[:, None], ATTENTION, seed))
    base_gold = np.array([found.bases[i].gold for i in found.base])
    source_gold = np.array([prompt.gold for prompt in found.sources])
    questions, _ = found.questions
    return SwapsFound(
        base=found.form.base,
        source=found.form.source,
        form=found.form.name,
        is_rate=not found.form.covers_all,
        base_accuracy=float((table["base_logits"].argmax(-1) == base_gold).mean()),
        source_accuracy=float(
            (table["source_logits"].argmax(-1) == source_gold).mean()
        ),
        followed=tuple(followed),
        questions=len(np.unique(questions)),
    )


def _followed(
    found: SwapPrompts,
    title: tuple[str, int | None],
    picked: Float[np.ndarray, "row draw choice"],
    reading: str,
    seed: int,
) -> Followed:
    draws = picked.shape[1]
    picked = np.moveaxis(picked, 1, 0).reshape(-1, picked.shape[-1])
    sides = [np.tile(side, draws) for side in found.questions]
    lines = {name: np.tile(line, draws) for name, line in found.lines.items()}

    def on(name: str) -> Interval:
        """The share of choices (or of the attention) on a line."""
        rows = np.flatnonzero(lines[name] != NO_LINE)
        share = picked[rows, lines[name][rows]]
        return metrics.share_two_way(share, *(s[rows] for s in sides), seed=seed)

    def follow(name: str) -> Interval | None:
        rows = np.flatnonzero(lines[name] != NO_LINE)
        if not len(rows):
            return None
        if not found.form.covers_all:
            return on(name)
        return metrics.follow_d(
            picked[rows], lines[name][rows], *(s[rows] for s in sides),
            choices=found.choices, seed=seed,
        ).value  # fmt: skip

    rows = np.flatnonzero(lines["place"] != NO_LINE)
    whole = metrics.follow_d(
        picked[rows], lines["place"][rows], *(s[rows] for s in sides),
        choices=found.choices, seed=seed,
    )  # fmt: skip
    has_letters = (lines["letter"] != NO_LINE).any()
    counts_differ = len(found.sources[0].answer_ids) != found.choices
    return Followed(
        who=title[0],
        layer=title[1],
        reading=reading,
        place=on("place") if found.form.apart else whole.value,
        by_place=tuple(map(tuple, whole.matrix.tolist())),
        letter=follow("letter"),
        content=follow("content") if found.form.same_options else None,
        rank=None if has_letters else follow("rank"),
        from_end=follow("from_end") if counts_differ else None,
        offset=follow("offset") if counts_differ else None,
        stays=on("own"),
        too_few=whole.too_few,
    )
