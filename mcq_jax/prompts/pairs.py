"""Pairs of a clean and a source prompt, for tasks that are not multiple choice.

A pair gives what the pipeline needs of any task: two texts, the answers to compare, and
which stretches of the two texts correspond.
"""

import dataclasses
import functools
import hashlib
import json
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int

from mcq_jax.prompts import alignment, identity, lines, rendering, tokens
from mcq_jax.prompts import tokenizer as tokenizers

# A record's fields: their JSON type, and what to give.
_FIELDS = {
    "clean": (str, "a text"),
    "source": (str, "a text"),
    "answers": (list, "a list of texts"),
    "gold": (int, "an answer's index"),
    "source_gold": (int | None, "an answer's index or null"),
    "spans": (dict, "an object from names to character ranges"),
    "id": (str, "a text"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pair:
    """A clean prompt and a source prompt that differ in what a patch should carry."""

    clean: str
    source: str
    # What may be said next, the right answer and its foils, with leading spaces.
    answers: tuple[str, ...]
    # Index of the clean prompt's right answer.
    gold: int
    # Index of the source prompt's right answer; None where it has none of these.
    source_gold: int | None = None
    # Named stretches of characters, the same names in both texts.
    clean_spans: tuple[rendering.Span, ...] = ()
    source_spans: tuple[rendering.Span, ...] = ()
    # Stable name; left out, it is a hash of the content.
    id: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "answers", tuple(self.answers))
        if not self.id:
            content = json.dumps([self.clean, self.source, self.answers, self.gold])
            digest = hashlib.sha256(content.encode()).hexdigest()[:12]
            object.__setattr__(self, "id", digest)
        _check(self)

    @functools.cached_property
    def content_id(self) -> str:
        """The same for the same clean prompt, answers and right answer.

        Several sources for one clean prompt are several pairs, but one question.
        """
        return identity.content_id(self.clean, self.answers, self.answers[self.gold])


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenisedPair:
    """Both prompts of a pair; their spans, with the same names, correspond."""

    clean: tokens.TokenisedPrompt
    # Its gold is the clean prompt's where the pair gives none.
    source: tokens.TokenisedPrompt


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairSet:
    """Pairs to ask, and what a reader of the answers must know about them."""

    pairs: tuple[Pair, ...]
    # Sentences on what was left out or is missing, such as repeated pairs.
    notes: tuple[str, ...] = ()


def load_pair_set(
    path: str | pathlib.Path, *, count: int | None = None, seed: int | None = None
) -> PairSet:
    """Returns pairs of a JSONL file, each once.

    A pair that repeats both prompts and the answers of an earlier one is left out;
    where there are fewer than `count`, all are taken. Notes say so.

    Args:
        count: the first so many; all where left out.
        seed: draws the order; that of the file where left out.
    """
    pairs, notes = read_pairs(path), []
    first: dict[tuple[str, str, int | None], Pair] = {}
    for pair in pairs:
        key = (pair.content_id, identity.normalised(pair.source), pair.source_gold)
        first.setdefault(key, pair)
    distinct = tuple(first.values())
    if len(distinct) < len(pairs):
        notes.append(
            f"{len(pairs) - len(distinct)} of {len(pairs)} pairs of {path} repeat "
            "another one and were left out: each pair is asked once."
        )
    if count is not None and count > len(distinct):
        notes.append(
            f"{count} pairs were asked for, but {path} has {len(distinct)}: all of "
            "them are asked."
        )
    if seed is not None:
        order = np.random.default_rng(seed).permutation(len(distinct))
        distinct = tuple(distinct[i] for i in order)
    return PairSet(pairs=distinct[:count], notes=tuple(notes))


def read_pairs(path: str | pathlib.Path) -> tuple[Pair, ...]:
    """Reads a JSONL file with one pair a line.

    A line has `clean`, `source`, `answers` and `gold`, and may have `source_gold`, `id`
    and `spans`: a name to [[start, end] in clean, [start, end] in source]. Repeated
    pairs are all there; one id for two different clean prompts is refused.
    """
    pairs, by_id = [], {}
    for place, record in lines.read_records(path):
        try:
            pair = _pair(record)
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from error
        if by_id.setdefault(pair.id, pair).content_id != pair.content_id:
            raise ValueError(
                f"{place}: the id {pair.id!r} is that of another pair before; give "
                "each pair an id of its own, or none."
            )
        pairs.append(pair)
    if not pairs:
        raise ValueError(f"No pairs in {path}; give one JSON object a line.")
    return tuple(pairs)


def tokenise_pair(
    pair: Pair, tokenizer: tokenizers.Tokenizer, *, context: int | None = None
) -> TokenisedPair:
    """Returns both prompts' tokens; they may differ in number."""
    gold = pair.gold if pair.source_gold is None else pair.source_gold
    return TokenisedPair(
        clean=_tokenise(
            pair, pair.clean, pair.clean_spans, pair.gold, tokenizer, context
        ),
        source=_tokenise(
            pair, pair.source, pair.source_spans, gold, tokenizer, context
        ),
    )


def aligned_positions(
    pair: TokenisedPair, name: str
) -> tuple[Int[np.ndarray, " position"], Int[np.ndarray, " position"]]:
    """Returns the corresponding positions of a named span in clean and source.

    Spans correspond from their ends, where a word's meaning has been gathered; the
    longer span's first tokens have no counterpart and are left out.
    """
    clean, source = _named(pair.clean, name), _named(pair.source, name)
    count = min(clean.end - clean.start, source.end - source.start)
    return (
        np.arange(clean.end - count, clean.end, dtype=np.int32),
        np.arange(source.end - count, source.end, dtype=np.int32),
    )


def aligned_spans(
    pairs: Sequence[TokenisedPair], name: str
) -> Int[np.ndarray, "prompt selected"]:
    """Returns a named span's corresponding positions in every prompt of some pairs.

    First those of all clean prompts, then those of their sources. A span that is
    shorter than the longest repeats its last position.
    """
    both = [aligned_positions(pair, name) for pair in pairs]
    widest = max(len(clean) for clean, _ in both)
    return np.array(
        [
            np.pad(sides[which], (0, widest - len(sides[which])), mode="edge")
            for which in (0, 1)
            for sides in both
        ]
    )


def _tokenise(
    pair: Pair,
    text: str,
    spans: tuple[rendering.Span, ...],
    gold: int,
    tokenizer: tokenizers.Tokenizer,
    context: int | None,
) -> tokens.TokenisedPrompt:
    which = "clean" if text is pair.clean else "source"
    prompt = f"the {which} prompt of pair {pair.id!r}"
    encoding = tokenizer.encode(text)
    tokens.check_length(encoding.ids, context, prompt=prompt)
    none = np.full(len(pair.answers), -1, np.int32)
    return tokens.TokenisedPrompt(
        ids=np.array(encoding.ids, np.int32),
        spans=alignment.token_spans(spans, encoding.offsets, prompt=prompt),
        label_positions=none,
        label_ids=none,
        answer_ids=alignment.answer_ids(
            text, pair.answers, encoding.ids, tokenizer, prompt=prompt
        ),
        gold=gold,
        question=pair.id,
        place=none,
        letter=none,
        content_id=pair.content_id,
    )


def _named(prompt: tokens.TokenisedPrompt, name: str) -> rendering.Span:
    for span in prompt.spans:
        if span.kind == name:
            return span
    known = sorted({span.kind for span in prompt.spans})
    raise ValueError(
        f"No span {name!r} in pair {prompt.question!r}, which has {known}; name one of "
        "those."
    )


def _pair(record: Mapping) -> Pair:
    unknown = set(record) - set(_FIELDS)
    missing = {"clean", "source", "answers", "gold"} - set(record)
    if unknown or missing:
        raise ValueError(
            f"A pair without {sorted(missing)} and with unknown {sorted(unknown)}; "
            f"give fields out of {sorted(_FIELDS)}."
        )
    for name, value in record.items():
        kind, meaning = _FIELDS[name]
        if not isinstance(value, kind) or isinstance(value, bool):
            raise ValueError(f"{name!r} is {value!r}; give {meaning}.")
    if not all(isinstance(answer, str) for answer in record["answers"]):
        raise ValueError(f"'answers' is {record['answers']!r}; give a list of texts.")
    spans = record.get("spans", {})
    return Pair(
        clean=record["clean"],
        source=record["source"],
        answers=tuple(record["answers"]),
        gold=record["gold"],
        source_gold=record.get("source_gold"),
        clean_spans=tuple(_span(name, sides, 0) for name, sides in spans.items()),
        source_spans=tuple(_span(name, sides, 1) for name, sides in spans.items()),
        id=record.get("id", ""),
    )


def _span(name: str, sides: object, side: int) -> rendering.Span:
    match sides:
        case [[int(), int()], [int(), int()]]:
            start, end = sides[side]
            return rendering.Span(kind=name, start=start, end=end)
    raise ValueError(
        f"Span {name!r} is {sides!r}; give [[start, end] in the clean prompt, [start, "
        "end] in the source prompt], in characters."
    )


def _check(pair: Pair) -> None:
    for what, text in (
        ("the id", pair.id),
        ("the clean prompt", pair.clean),
        ("the source prompt", pair.source),
        *((f"answer {i}", answer) for i, answer in enumerate(pair.answers)),
        *(("a span's name", span.kind) for span in pair.clean_spans),
    ):
        identity.require_characters(text, what)
    if not pair.clean or not pair.source:
        raise ValueError(f"Pair {pair.id!r} has an empty prompt; give both texts.")
    count = len(pair.answers)
    if count < 2 or len(set(pair.answers)) < count or not all(pair.answers):
        raise ValueError(
            f"Answers {list(pair.answers)} in pair {pair.id!r}; give at least two "
            "different ones, none empty."
        )
    for name, gold in (("gold", pair.gold), ("source_gold", pair.source_gold)):
        if gold is not None and not 0 <= gold < count:
            raise ValueError(
                f"{name} is {gold} in pair {pair.id!r}, which has {count} answers; "
                f"give an index from 0 to {count - 1}."
            )
    if [s.kind for s in pair.clean_spans] != [s.kind for s in pair.source_spans]:
        raise ValueError(
            f"Spans of pair {pair.id!r} have other names in clean and source; give "
            "each span in both."
        )
    for text, spans in (
        (pair.clean, pair.clean_spans),
        (pair.source, pair.source_spans),
    ):
        for span in spans:
            if not 0 <= span.start < span.end <= len(text):
                raise ValueError(
                    f"Span {span.kind!r} [{span.start}, {span.end}) in pair "
                    f"{pair.id!r}, whose prompt has {len(text)} characters; give "
                    "0 <= start < end <= length."
                )
