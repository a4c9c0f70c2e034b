"""The tokenizer inside a GGUF file, as the model's publisher has it.

A SentencePiece vocabulary is left to `sentencepiece`. For byte-level BPE, GGUF names a
pre-tokenizer (how text is cut before merging) instead of describing it; `_FLAVOURS`
holds the descriptions, as they stand in those models' `tokenizer.json`.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import tokenizers
from tokenizers import (
    AddedToken,
    Regex,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

from mcq_jax.checkpoints import sentencepiece
from mcq_jax.prompts import TokenizerFile


def read_tokenizer(metadata: Mapping[str, Any]) -> TokenizerFile:
    """Returns the tokenizer that a GGUF file's metadata describes."""
    model = metadata.get("tokenizer.ggml.model")
    if model not in _BUILDERS:
        raise ValueError(
            f"The GGUF file has a tokenizer of type {model!r}; supported are "
            f"{', '.join(_BUILDERS)} (byte-level BPE, SentencePiece). Give the model "
            "as a Hugging Face folder instead."
        )
    if metadata.get("tokenizer.ggml.add_eos_token", False):
        raise ValueError(
            "The GGUF file asks for an EOS token behind every text "
            "(tokenizer.ggml.add_eos_token), which would end every prompt; set it to "
            "false."
        )
    tokens = _strings(metadata, "tokenizer.ggml.tokens")
    tokenizer, adds_bos = _BUILDERS[model](metadata, tokens)
    special = _special_tokens(metadata, tokens)
    adds_bos = metadata.get("tokenizer.ggml.add_bos_token", adds_bos)
    if adds_bos and "bos_token" not in special:
        raise ValueError(
            "The GGUF file asks for a BOS token (tokenizer.ggml.add_bos_token) but "
            "gives no tokenizer.ggml.bos_token_id; convert the model again."
        )
    return TokenizerFile(
        tokenizer,
        chat_template=metadata.get("tokenizer.chat_template"),
        special_tokens=special,
        prepend=special["bos_token"] if adds_bos else None,
    )


def _byte_level(
    metadata: Mapping[str, Any], tokens: list[str]
) -> tuple[tokenizers.Tokenizer, bool]:
    """Returns a byte-level BPE, and whether BOS is put first by default."""
    flavour = _flavour(metadata)
    tokenizer = tokenizers.Tokenizer(_model(metadata, tokens, flavour))
    if flavour.is_nfc:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = flavour.pre_tokenizer
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.decoder = decoders.ByteLevel()
    _add_special(tokenizer, tokens, _types(metadata, tokens))
    return tokenizer, flavour.adds_bos


def _sentencepiece(
    metadata: Mapping[str, Any], tokens: list[str]
) -> tuple[tokenizers.Tokenizer, bool]:
    """Returns a SentencePiece tokenizer; BOS is put first by default."""
    # Converters write runs of spaces as they are, all other pieces with "▁".
    texts = [sentencepiece.SPACE * len(t) if set(t) == {" "} else t for t in tokens]
    _vocabulary(texts)
    pieces = sentencepiece.Pieces(
        texts=texts,
        scores=_scores(metadata, tokens),
        unknown=_special_tokens(metadata, tokens).get("unk_token"),
        has_space_first=metadata.get("tokenizer.ggml.add_space_prefix", True),
    )
    tokenizer = sentencepiece.build_tokenizer(pieces)
    types = _types(metadata, tokens)
    kept = [i for i, t in enumerate(tokens) if t == texts[i]]  # runs come from merging
    _add_special(tokenizer, [tokens[i] for i in kept], [types[i] for i in kept])
    return tokenizer, True


# By `tokenizer.ggml.model`.
_BUILDERS = {"gpt2": _byte_level, "llama": _sentencepiece}


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Flavour:
    """What tells one byte-level BPE tokenizer from another, besides its vocabulary."""

    # How text is cut into words before merging.
    pre_tokenizer: pre_tokenizers.PreTokenizer
    # Whether text is brought to Unicode's composed form (NFC) first.
    is_nfc: bool = False
    # Whether a word that is a token as a whole skips the merges.
    ignores_merges: bool = False
    # Whether BOS is put first where the file does not say.
    adds_bos: bool = False


def _split(pattern: str) -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


# Contractions, words, runs of digits, punctuation, white space; Llama 3 cuts digits
# into groups of three, Qwen2 into single ones.
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

_GPT2 = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)

# By `tokenizer.ggml.pre`.
_FLAVOURS = {
    "gpt-2": _Flavour(pre_tokenizer=_GPT2),
    "qwen2": _Flavour(pre_tokenizer=_split(_WORDS % ""), is_nfc=True),
    "llama-bpe": _Flavour(
        pre_tokenizer=_split(_WORDS % "{1,3}"), ignores_merges=True, adds_bos=True
    ),
    "smollm": _Flavour(
        pre_tokenizer=pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), _GPT2]
        )
    ),
}


def _flavour(metadata: Mapping[str, Any]) -> _Flavour:
    name = metadata.get("tokenizer.ggml.pre")
    if name not in _FLAVOURS:
        raise ValueError(
            f"The GGUF file names the pre-tokenizer {name!r} (tokenizer.ggml.pre); "
            f"known ones are {', '.join(_FLAVOURS)}. Give the model as a Hugging Face "
            "folder instead."
        )
    return _FLAVOURS[name]


def _strings(metadata: Mapping[str, Any], key: str) -> list[str]:
    found = metadata.get(key)
    if not isinstance(found, list) or not all(isinstance(x, str) for x in found):
        raise ValueError(f"The GGUF file has no list of texts {key}; convert it again.")
    return found


def _model(
    metadata: Mapping[str, Any], tokens: list[str], flavour: _Flavour
) -> models.BPE:
    vocabulary = _vocabulary(tokens)
    merges = []
    for merge in _strings(metadata, "tokenizer.ggml.merges"):
        first, _, second = merge.partition(" ")
        if not {first, second, first + second} <= vocabulary.keys():
            raise ValueError(
                f"The GGUF file's merge {merge!r} makes no token of its vocabulary; "
                "the file is corrupt, fetch it again."
            )
        merges.append((first, second))
    return models.BPE(
        vocab=vocabulary, merges=merges, ignore_merges=flavour.ignores_merges
    )


def _vocabulary(tokens: list[str]) -> dict[str, int]:
    vocabulary = {token: index for index, token in enumerate(tokens)}
    if len(vocabulary) != len(tokens):
        twice = next(t for i, t in enumerate(tokens) if vocabulary[t] != i)
        raise ValueError(
            f"The GGUF file's vocabulary holds {twice!r} twice; convert the model "
            "again."
        )
    return vocabulary


def _scores(metadata: Mapping[str, Any], tokens: list[str]) -> list[float]:
    """Scores of pieces, by which they are merged."""
    scores = metadata.get("tokenizer.ggml.scores")
    if not isinstance(scores, list) or len(scores) != len(tokens):
        raise ValueError(
            f"The GGUF file has {len(tokens)} tokens, but not as many scores "
            "(tokenizer.ggml.scores); convert the model again."
        )
    if str(metadata.get("general.architecture")).startswith("gemma"):
        # Gemma's are out of order for runs of spaces and the like; its ids are not.
        return [-float(index) for index in range(len(tokens))]
    return scores


# GGUF's token types: control tokens are special; user-defined ones are also found in
# the text before it is cut, but count as text.
_UNKNOWN, _CONTROL, _USER_DEFINED = 2, 3, 4


def _types(metadata: Mapping[str, Any], tokens: list[str]) -> list[int]:
    types = metadata.get("tokenizer.ggml.token_type")
    if not isinstance(types, list) or len(types) != len(tokens):
        raise ValueError(
            f"The GGUF file has {len(tokens)} tokens, but not as many token types "
            "(tokenizer.ggml.token_type); convert the model again."
        )
    return types


def _add_special(
    tokenizer: tokenizers.Tokenizer, tokens: list[str], types: list[int]
) -> None:
    def of(*kinds: int) -> list[AddedToken]:
        pairs = zip(tokens, types, strict=True)
        return [AddedToken(token, normalized=False) for token, k in pairs if k in kinds]

    tokenizer.add_special_tokens(of(_UNKNOWN, _CONTROL))
    tokenizer.add_tokens(of(_USER_DEFINED))


def _special_tokens(metadata: Mapping[str, Any], tokens: list[str]) -> dict[str, str]:
    special = {}
    names = {"bos": "bos", "eos": "eos", "padding": "pad", "unknown": "unk"}
    for theirs, ours in names.items():
        index = metadata.get(f"tokenizer.ggml.{theirs}_token_id")
        if index is None:
            continue
        if not isinstance(index, int) or not 0 <= index < len(tokens):
            raise ValueError(
                f"tokenizer.ggml.{theirs}_token_id is {index!r}, but the GGUF file's "
                f"vocabulary has {len(tokens)} tokens; convert the model again."
            )
        special[f"{ours}_token"] = tokens[index]
    return special
