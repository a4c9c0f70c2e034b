"""The rungs of a ladder: what is put in place of some parts, and in which order.

Means by what a line is (place, letter, seen), other prompts' content that is alike in
it, one direction more or less, and subspaces by rank. A rung is data: its row of the
table is known by it.
"""

import dataclasses
from collections.abc import Iterator, Sequence

from mcq_jax.metrics.feature_means import CELL, LETTER, PLACE, SEEN, Features
from mcq_jax.passes import Part

PARTS = {
    "Q": (Part.QUERY,),
    "K": (Part.KEYS,),
    "V": (Part.VALUES,),
    "QK": (Part.QUERY, Part.KEYS),
    "QKV": (Part.QUERY, Part.KEYS, Part.VALUES),
}

MEANS, ALIKE, DIRECTION, OPTIMAL, VARIANCE, RANDOM, ALONE, INTACT = (
    "means", "others alike", "direction", "score-optimal", "most variance", "random",
    "one head alone", "intact",
)  # fmt: skip
MEAN = "mean"
# Each says more than those before; the last one is the head as pseudocode.
TERMS: dict[str, tuple[str, ...]] = {
    MEAN: (),
    "place": (PLACE,),
    "letter": (LETTER,),
    "place and letter": (PLACE, LETTER),
    "place, letter, seen": (PLACE, LETTER, SEEN),
    "interaction": (CELL, SEEN),
}
WITH_SEEN, WITH_LARGEST, WITH_RANDOM, BUT_SEEN = (
    "means and the direction of seen", "means and the largest other direction",
    "means and a random direction", "all but the direction of seen",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rung:
    """What stands in for some parts of all heads, or of one head alone."""

    parts: str
    kind: str
    name: str
    terms: tuple[str, ...] = ()
    rank: int = 0
    draw: int = 0
    # Of ALONE: which head.
    head: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Described:
    """Which terms say something of these prompts, and why the others do not."""

    identified: dict[str, tuple[str, ...]]
    # Those of which other prompts have lines and queries that are alike.
    alike: dict[str, tuple[str, ...]]
    # By kind of rung and its name.
    refused: dict[tuple[str, str], str]

    @property
    def base(self) -> tuple[str, ...]:
        """The most that can be said without seen."""
        known = self.identified
        return known.get("place and letter", known.get("place", ()))


def describe_terms(
    keys: Features, unknown: dict[str, int], unlike: dict[str, int]
) -> Described:
    """Returns the rungs of `TERMS` that these labels tell apart.

    Args:
        unknown: by rung, how many lines and queries are no sum of fitted effects.
        unlike: by rung, of how many no fitting question has another.
    """
    identified: dict[str, tuple[str, ...]] = {}
    others: dict[str, tuple[str, ...]] = {}
    refused: dict[tuple[str, str], str] = {}
    for name, terms in TERMS.items():
        same = _same_as(name, terms, keys, identified)
        for kind, missing, known in (
            (MEANS, unknown, identified), (ALIKE, unlike, others),
        ):  # fmt: skip
            # A cell and its place and letter are the same prompts.
            if kind == ALIKE and CELL in terms:
                continue
            if same or missing[name]:
                refused[kind, name] = same or (
                    f"not identified here: {missing[name]} lines or queries are of a "
                    "kind that no fitting question has; ask more questions."
                )
            else:
                known[name] = terms
    return Described(identified=identified, alike=others, refused=refused)


def _same_as(name, terms, keys: Features, before: dict[str, tuple[str, ...]]) -> str:
    """Why a rung says what an earlier one said already; empty where it does not."""
    size = keys.dimensions(terms)
    for other, known in before.items():
        joined = keys.dimensions([*terms, *known])
        if name != MEAN and joined == size == keys.dimensions(known):
            return (
                f"not identified here: in these prompts it says what {other!r} says; "
                "permuted labels and every gold place tell them apart."
            )
    return ""


def rungs_of(
    described: Described,
    dimensions: dict[str, int],
    *,
    ranks: Sequence[int],
    draws: int,
    heads: int,
) -> tuple[Rung, ...]:
    """Returns all rungs of one set of prompts, `INTACT` first.

    Args:
        dimensions: of each identified rung, whose random control has as many.
    """
    found = [Rung(parts="", kind=INTACT, name="intact")]
    for parts in PARTS:
        found += _of_parts(parts, described, dimensions, ranks, draws)
    found += [
        Rung(parts="QKV", kind=ALONE, name=MEAN, head=head) for head in range(heads)
    ]
    return tuple(found)


def _of_parts(parts, described, dimensions, ranks, draws) -> Iterator[Rung]:
    reads = parts != "Q"  # and so sees which option was right
    for name, terms in described.identified.items():
        if reads or SEEN not in terms or CELL in terms:
            yield Rung(parts=parts, kind=MEANS, name=name, terms=terms)
    for name, terms in described.alike.items():
        if reads or SEEN not in terms:
            yield Rung(parts=parts, kind=ALIKE, name=name, terms=terms)
    if reads and "place, letter, seen" in described.identified:
        for name in (WITH_SEEN, WITH_LARGEST, BUT_SEEN):
            yield Rung(parts=parts, kind=DIRECTION, name=name, terms=described.base)
        for draw in range(draws):
            yield Rung(
                parts=parts, kind=DIRECTION, name=WITH_RANDOM, terms=described.base,
                draw=draw,
            )  # fmt: skip
    for rank in ranks:
        for kind in (OPTIMAL, VARIANCE):
            yield Rung(parts=parts, kind=kind, name=f"rank {rank}", rank=rank)
    for rank in sorted({*ranks, *dimensions.values()} - {0}):
        for draw in range(draws):
            yield Rung(
                parts=parts, kind=RANDOM, name=f"rank {rank}", rank=rank, draw=draw
            )  # fmt: skip
