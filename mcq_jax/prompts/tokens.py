"""Prompts as integer arrays: ids, where each part stands, and what answers them.

This is where `prompts` ends: models and metrics see only the arrays made here. Batches
are padded on the right, so a token's position is its index and the answer is read off
at `lengths - 1`.
"""

import dataclasses
import enum
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, Integer

from mcq_jax.prompts import alignment, rendering
from mcq_jax.prompts import tokenizer as tokenizers


class KeyClass(enum.IntEnum):
    """What kind of token stands at a position; each token is of exactly one kind."""

    # Position 0: BOS, or whatever attention rests on where there is no BOS.
    FIRST = 0
    PREFIX = 1
    SHOTS = 2
    QUESTION = 3
    LABEL = 4
    OPTION = 5
    # The line break after an option.
    LINE_END = 6
    CUE = 7
    # Separators, text of a chat template, padding, and all of a pair's tokens.
    OTHER = 8


def _left_out() -> Int[np.ndarray, " choice"]:
    return np.zeros(0, np.int32)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenisedPrompt:
    """One prompt; the answer is predicted at its last position.

    A choice is known by its index. Where it stands and which letter it carries are two
    things, which shuffled labels tell apart: `place` and `letter`.
    """

    ids: Int[np.ndarray, " position"]
    # In token positions [start, end); a token may lie in two spans.
    spans: tuple[rendering.Span, ...]
    # Where each option's label stands, and the token there; -1 for pairs.
    label_positions: Int[np.ndarray, " choice"]
    label_ids: Int[np.ndarray, " choice"]
    # The token that chooses each option; may differ from the label's.
    answer_ids: Int[np.ndarray, " choice"]
    # Index of the right option.
    gold: int
    # Id of the question.
    question: str
    rotation: int = 0
    subject: str = ""
    # On which line each option stands, and which letter of the run's alphabet it
    # carries; left out, both are its index. -1 for pairs, which have neither.
    place: Int[np.ndarray, " choice"] = dataclasses.field(default_factory=_left_out)
    letter: Int[np.ndarray, " choice"] = dataclasses.field(default_factory=_left_out)
    # Which options are right; left out, the gold one.
    right: Bool[np.ndarray, " choice"] = dataclasses.field(default_factory=_left_out)
    # What tells the question from others; left out, its id (`Question.content_id`).
    content_id: str = ""

    def __post_init__(self) -> None:
        index = np.arange(len(self.answer_ids), dtype=np.int32)
        natural = {"place": index, "letter": index, "right": index == self.gold}
        for name, value in natural.items():
            if not len(getattr(self, name)):
                object.__setattr__(self, name, value)
        if not self.content_id:
            object.__setattr__(self, "content_id", self.question)

    @property
    def identity(self) -> list[Any]:
        """All that numbers and columns of this prompt depend on."""
        about = [self.gold, self.question, self.content_id]
        return [self.ids, self.answer_ids, self.place, self.letter, *about]

    @property
    def gold_place(self) -> int:
        """The line on which the right option stands, from 0."""
        return int(self.place[self.gold])

    @property
    def gold_letter(self) -> int:
        """The letter of the right option, as an index into the run's alphabet."""
        return int(self.letter[self.gold])


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenBatch:
    """Some prompts of nearly equal length, padded on the right."""

    ids: Int[np.ndarray, "prompt position"]
    lengths: Int[np.ndarray, " prompt"]
    label_positions: Int[np.ndarray, "prompt choice"]
    label_ids: Int[np.ndarray, "prompt choice"]
    answer_ids: Int[np.ndarray, "prompt choice"]
    gold: Int[np.ndarray, " prompt"]
    # A `KeyClass` for every token; OTHER for padding.
    key_class: Int[np.ndarray, "prompt position"]
    # The option a label, option or line end belongs to; -1 elsewhere.
    key_option: Int[np.ndarray, "prompt position"]
    # Each row's place in the list of prompts.
    index: Int[np.ndarray, " prompt"]


def tokenise(
    rendered: rendering.RenderedPrompt,
    tokenizer: tokenizers.Tokenizer,
    *,
    context: int | None = None,
) -> TokenisedPrompt:
    """Returns a prompt's tokens with the spans, labels and answers in token terms.

    Args:
      context: the longest prompt, in tokens, that the model can read.
    """
    prompt = f"question {rendered.question!r}"
    encoding = tokenizer.encode(rendered.text, special=rendered.adds_special)
    ids = encoding.ids
    check_length(ids, context, prompt=prompt)
    spans = alignment.token_spans(rendered.spans, encoding.offsets, prompt=prompt)
    texts = [rendered.text[start:end] for start, end in encoding.offsets]
    positions = alignment.label_positions(spans, rendered.labels, texts, prompt=prompt)
    label_ids = np.array(ids, np.int32)[positions]
    alignment.require_distinct(
        label_ids.tolist(), rendered.labels, what="Labels", prompt=prompt
    )
    alignment.require_other_options(spans, rendered.right, ids, prompt=prompt)
    return TokenisedPrompt(
        ids=np.array(ids, np.int32),
        spans=spans,
        label_positions=positions,
        label_ids=label_ids,
        answer_ids=alignment.answer_ids(
            rendered.text,
            rendered.answers,
            ids,
            tokenizer,
            prompt=prompt,
            special=rendered.adds_special,
        ),
        gold=rendered.gold,
        question=rendered.question,
        rotation=rendered.rotation,
        subject=rendered.subject,
        place=np.array(rendered.places, np.int32),
        letter=np.array(
            [rendered.alphabet.index(label) for label in rendered.labels], np.int32
        ),
        right=np.array(rendered.right, bool),
        content_id=rendered.content_id,
    )


def require_one_gold(prompts: Sequence[TokenisedPrompt]) -> None:
    """Refuses prompts of which several options are right, where one gold is needed."""
    for index, prompt in enumerate(prompts):
        if prompt.right.sum() > 1:
            raise ValueError(
                f"Options {np.flatnonzero(prompt.right).tolist()} of prompt {index} "
                f"(question {prompt.question!r}) are all right, but one gold answer is "
                "needed here; leave such prompts out, or read `metrics.net_of_set`."
            )


def check_length(ids: Sequence[int], context: int | None, *, prompt: str) -> None:
    """Refuses empty prompts and those that are longer than the model's context."""
    if not ids:
        raise ValueError(f"No tokens in {prompt}; give it a text.")
    if context is not None and len(ids) > context:
        raise ValueError(
            f"{len(ids)} tokens in {prompt}, but the model reads at most {context}; "
            "leave the question out or use fewer worked examples."
        )


def key_classes(
    prompt: TokenisedPrompt,
) -> tuple[Int[np.ndarray, " position"], Int[np.ndarray, " position"]]:
    """Returns each token's `KeyClass` and the option it belongs to (or -1).

    A token that lies in two spans takes the narrower role: a full stop glued to a line
    break ends the line.
    """
    kinds = np.full(len(prompt.ids), KeyClass.OTHER, np.int32)
    options = np.full(len(prompt.ids), -1, np.int32)
    for name, key_class in _PAINT_ORDER:
        for span in prompt.spans:
            if span.kind == name:
                kinds[span.start : span.end] = key_class
                options[span.start : span.end] = span.option
    kinds[0], options[0] = KeyClass.FIRST, -1
    return kinds, options


# Later ones paint over earlier ones.
_PAINT_ORDER = (
    ("prefix", KeyClass.PREFIX),
    ("shots", KeyClass.SHOTS),
    ("question", KeyClass.QUESTION),
    ("cue", KeyClass.CUE),
    ("option", KeyClass.OPTION),
    ("line_end", KeyClass.LINE_END),
    ("label", KeyClass.LABEL),
)


def batches(
    prompts: Sequence[TokenisedPrompt],
    *,
    size: int,
    multiple: int = 16,
    buckets: Sequence[int] = (),
    pad_id: int = 0,
) -> Iterator[TokenBatch]:
    """Yields every prompt once, in batches of `size`, the longest prompts first.

    Longest first, so that a batch too large for memory fails at once and the only
    batch that is not full is the cheapest. Prompts of equal length keep their order.

    Args:
      multiple: widths are rounded up to this, so that few programs are compiled.
      buckets: the allowed widths, instead of multiples.
    """
    if size < 1 or multiple < 1:
        raise ValueError(
            f"Batches of {size} prompts, widths in multiples of {multiple}; give at "
            "least 1 for each."
        )
    if not prompts:
        raise ValueError("No prompts to put into batches; give at least one.")
    counts = sorted({len(prompt.answer_ids) for prompt in prompts})
    if len(counts) > 1:
        raise ValueError(
            f"Prompts with {counts} options in one list; run each number of options by "
            "itself."
        )
    order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i].ids))
    for start in range(0, len(order), size):
        index = order[start : start + size]
        width = _width(len(prompts[index[0]].ids), multiple, buckets)
        yield _batch([prompts[i] for i in index], index, width=width, pad_id=pad_id)


def batch_of(prompts: Sequence[TokenisedPrompt], *, multiple: int = 16) -> TokenBatch:
    """Returns one padded batch of all prompts, in the order given."""
    (batch,) = batches(prompts, size=len(prompts), multiple=multiple)
    order = np.argsort(batch.index)
    columns = {
        field.name: getattr(batch, field.name)[order]
        for field in dataclasses.fields(batch)
    }
    return TokenBatch(**columns)


def _width(length: int, multiple: int, buckets: Sequence[int]) -> int:
    if not buckets:
        return -(-length // multiple) * multiple
    fitting = [bucket for bucket in buckets if bucket >= length]
    if not fitting:
        raise ValueError(
            f"A prompt of {length} tokens fits none of the widths {sorted(buckets)}; "
            "add a larger one."
        )
    return min(fitting)


def _batch(
    prompts: Sequence[TokenisedPrompt], index: Sequence[int], *, width: int, pad_id: int
) -> TokenBatch:
    classes = [key_classes(prompt) for prompt in prompts]

    def padded(
        rows: Sequence[np.ndarray], fill: int
    ) -> Int[np.ndarray, "prompt position"]:
        return np.stack(
            [np.pad(r, (0, width - len(r)), constant_values=fill) for r in rows]
        ).astype(np.int32)

    def stacked(name: str) -> np.ndarray:
        return np.stack([getattr(prompt, name) for prompt in prompts]).astype(np.int32)

    return TokenBatch(
        ids=padded([prompt.ids for prompt in prompts], pad_id),
        lengths=np.array([len(prompt.ids) for prompt in prompts], np.int32),
        label_positions=stacked("label_positions"),
        label_ids=stacked("label_ids"),
        answer_ids=stacked("answer_ids"),
        gold=stacked("gold"),
        key_class=padded([kinds for kinds, _ in classes], KeyClass.OTHER),
        key_option=padded([options for _, options in classes], -1),
        index=np.array(index, np.int32),
    )


def from_left_padded(
    ids: Integer[np.ndarray, "prompt position"],
    attention_mask: Integer[np.ndarray, "prompt position"]
    | Bool[np.ndarray, "prompt position"],
    *,
    pad_id: int = 0,
) -> tuple[Int[np.ndarray, "prompt position"], Int[np.ndarray, " prompt"]]:
    """Returns the same prompts padded on the right, and their lengths.

    Padding on the left is how generation code batches prompts; rows already padded on
    the right pass through.
    """
    ids, mask = np.asarray(ids), np.asarray(attention_mask).astype(bool)
    if ids.shape != mask.shape or ids.ndim != 2:
        raise ValueError(
            f"Ids of shape {ids.shape} with an attention mask of shape {mask.shape}; "
            "give [prompt, position] for both."
        )
    lengths = mask.sum(axis=1)
    first = mask.argmax(axis=1)
    runs = np.arange(ids.shape[1]) - first[:, None]
    whole = (runs >= 0) & (runs < lengths[:, None])
    if not np.array_equal(whole, mask) or not lengths.all():
        raise ValueError(
            "The attention mask has a row that is empty or has a hole; give each "
            "prompt's tokens as one run, padded on one side."
        )
    moved = np.full(ids.shape, pad_id, np.int32)
    moved[np.arange(ids.shape[1]) < lengths[:, None]] = ids[mask]
    return moved, lengths.astype(np.int32)
