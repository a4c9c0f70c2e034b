"""Text to token ids with character offsets, and back.

`TokenizerFile` wraps the tokenizer of a real checkpoint; `WordTokenizer` is a tokenizer
small enough to read, for hand-built models and tests.
"""

import dataclasses
import json
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Protocol, Self

import tokenizers

from mcq_jax.prompts import tokenizer_files


@dataclasses.dataclass(frozen=True, kw_only=True)
class Encoding:
    """The tokens of one text."""

    # Token ids, special tokens such as BOS included.
    ids: list[int]
    # Characters [start, end) of the text that each token covers; (0, 0) for tokens
    # that the tokenizer adds by itself.
    offsets: list[tuple[int, int]]


class Tokenizer(Protocol):
    """What the rest of the house asks of a tokenizer."""

    @property
    def vocabulary_size(self) -> int: ...

    @property
    def chat_template(self) -> str | None:
        """The checkpoint's Jinja chat template, where it has one."""
        ...

    @property
    def special_tokens(self) -> Mapping[str, str]:
        """Names that chat templates use (`bos_token`, ...) to the tokens' text."""
        ...

    def encode(self, text: str, *, special: bool = True) -> Encoding:
        """Returns tokens and offsets; `special` adds BOS as the checkpoint does."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Returns the text of the tokens, special ones included."""
        ...


class TokenizerFile:
    """A tokenizer as published with a checkpoint (`tokenizer.json`)."""

    def __init__(
        self,
        tokenizer: tokenizers.Tokenizer,
        *,
        chat_template: str | None = None,
        special_tokens: Mapping[str, str] | None = None,
        prepend: str | None = None,
    ):
        """Wraps a constructed tokenizer.

        Args:
          chat_template: Jinja source.
          special_tokens: texts that the chat template may use by name.
          prepend: a token put first by hand, for GGUF files that ask for BOS, which
            the tokenizer made of them does not add.
        """
        self._tokenizer = _with_full_offsets(tokenizer)
        self._prepend = None if prepend is None else self._id_of(prepend)
        self.chat_template = chat_template
        self.special_tokens = dict(special_tokens or {})

    @classmethod
    def from_file(cls, path: str | pathlib.Path) -> Self:
        """Reads `tokenizer.json` (or the folder that holds it) and what lies beside it.

        That is optional: tokenizer_config.json, chat_template.jinja, and
        special_tokens_map.json and added_tokens.json of older folders.
        """
        path = pathlib.Path(path)
        path = path / "tokenizer.json" if path.is_dir() else path
        if not path.is_file():
            raise FileNotFoundError(
                f"No tokenizer at {path}; give a tokenizer.json or a folder with one."
            )
        parts = tokenizer_files.read_parts(path)
        return cls(
            parts.tokenizer,
            chat_template=parts.chat_template,
            special_tokens=parts.special_tokens,
            prepend=parts.prepend,
        )

    def save(self, folder: pathlib.Path) -> None:
        """Writes the files from which `from_file` makes this tokenizer again."""
        self._tokenizer.save(str(folder / "tokenizer.json"))
        config: dict = dict(self.special_tokens)
        config[tokenizer_files.PREPENDED] = None
        if self._prepend is not None:
            first = self._tokenizer.id_to_token(self._prepend)
            config |= {"bos_token": first, tokenizer_files.PREPENDED: first}
        if self.chat_template is not None:
            config["chat_template"] = self.chat_template
        text = json.dumps(config, indent=1)
        (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")

    @property
    def vocabulary_size(self) -> int:
        return self._tokenizer.get_vocab_size(with_added_tokens=True)

    def encode(self, text: str, *, special: bool = True) -> Encoding:
        try:
            encoded = self._tokenizer.encode(text, add_special_tokens=special)
        except Exception as error:  # the library's errors have no type of their own
            raise ValueError(
                f"The tokenizer cannot encode {text[:60]!r} ({error}); give text of "
                f"its {self.vocabulary_size} tokens."
            ) from error
        if self._prepend is None or not special:
            return Encoding(ids=encoded.ids, offsets=encoded.offsets)
        return Encoding(
            ids=[self._prepend, *encoded.ids], offsets=[(0, 0), *encoded.offsets]
        )

    def decode(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(list(ids), skip_special_tokens=False)

    def _id_of(self, token: str) -> int:
        found = self._tokenizer.token_to_id(token)
        if found is None:
            raise ValueError(
                f"Token {token!r} should come first, but the tokenizer's "
                f"{self.vocabulary_size} tokens do not hold it; check the "
                "checkpoint's tokenizer_config.json."
            )
        return found


class WordTokenizer:
    """One token per word, punctuation mark or line break; spaces only separate.

    Ids are positions in `words`. A word outside the vocabulary is an error.
    """

    chat_template: str | None = None

    def __init__(self, words: Sequence[str], *, bos: str | None = None):
        """Makes a tokenizer of these words; `bos`, one of them, is put first."""
        self.words = tuple(words)
        self._ids = {word: index for index, word in enumerate(self.words)}
        if len(self._ids) != len(self.words):
            twice = sorted({w for w in self.words if self.words.count(w) > 1})
            raise ValueError(f"Words given more than once: {twice}; give each once.")
        self._bos = None if bos is None else self._id_of(bos, bos)
        self.special_tokens: dict[str, str] = {} if bos is None else {"bos_token": bos}

    @property
    def vocabulary_size(self) -> int:
        return len(self.words)

    def encode(self, text: str, *, special: bool = True) -> Encoding:
        found = list(_WORD.finditer(text))
        ids = [self._id_of(match.group(), text) for match in found]
        offsets = [match.span() for match in found]
        if self._bos is None or not special:
            return Encoding(ids=ids, offsets=offsets)
        return Encoding(ids=[self._bos, *ids], offsets=[(0, 0), *offsets])

    def decode(self, ids: Sequence[int]) -> str:
        return " ".join(self.words[index] for index in ids)

    def _id_of(self, word: str, text: str) -> int:
        if word not in self._ids:
            raise ValueError(
                f"Word {word!r} of {text[:60]!r} is not among this tokenizer's "
                f"{len(self.words)} words; use its words or add this one."
            )
        return self._ids[word]


# A bracketed name such as <bos> is one word, so that a vocabulary can be spelled out.
_WORD = re.compile(r"<\w+>|\w+|\n|[^\w\s]")


def _with_full_offsets(tokenizer: tokenizers.Tokenizer) -> tokenizers.Tokenizer:
    """Returns one that neither cuts nor pads texts and whose offsets hide nothing.

    Byte-level post-processors may trim spaces off the offsets, which leaves tokens of
    pure white space with no characters at all; ids do not depend on that setting.
    """
    processor = tokenizer.post_processor
    trims = processor is not None and b'"trim_offsets":true' in processor.__getstate__()
    if not trims and tokenizer.truncation is None and tokenizer.padding is None:
        return tokenizer  # as it is: copying a large vocabulary takes seconds
    description = json.loads(tokenizer.to_str())
    _turn_off(description.get("post_processor"), "trim_offsets")
    copy = tokenizers.Tokenizer.from_str(json.dumps(description))
    copy.no_truncation()
    copy.no_padding()
    return copy


def _turn_off(node: object, key: str) -> None:
    if isinstance(node, dict):
        if key in node:
            node[key] = False
        for child in node.values():
            _turn_off(child, key)
    elif isinstance(node, list):
        for child in node:
            _turn_off(child, key)
