"""A SentencePiece vocabulary small enough to merge by hand."""

import pytest

from mcq_jax.checkpoints import gguf_tokenizer

UNKNOWN, CONTROL, USER, BYTE, NORMAL = 2, 3, 4, 6, 1
START = ["<unk>", "<s>", "</s>"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
# Best first, as SentencePiece orders them.
PIECES = ["▁t", "he", "▁the", "▁a", "the", "▁", "a", "e", "h", "t", "n"]


def metadata(**changes) -> dict:
    tokens = [*START, *BYTES, *PIECES, "<tag>", "  "]
    kinds = [UNKNOWN, CONTROL, CONTROL, *[BYTE] * 256, *[NORMAL] * len(PIECES)]
    scores = [0.0] * 259 + [-float(rank) for rank in range(len(PIECES))]
    return {
        "general.architecture": "llama",
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": scores + [-1000.0, -1000.0],
        "tokenizer.ggml.token_type": [*kinds, USER, USER],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
    } | changes


def tokens_of(text: str, **changes) -> list[str]:
    """Returns the tokens of a text, without BOS."""
    found = metadata(**changes)
    tokenizer = gguf_tokenizer.read_tokenizer(found)
    ids = tokenizer.encode(text, special=False).ids
    return [found["tokenizer.ggml.tokens"][index] for index in ids]


NO_PREFIX = {"tokenizer.ggml.add_space_prefix": False}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # "▁t" is better than "the" and "▁the": but then "he" joins it to "▁the".
        ("the", ["▁the"]),
        ("the the", ["▁the", "▁the"]),
        ("tea", ["▁t", "e", "a"]),
        ("aé", ["▁a", "<0xC3>", "<0xA9>"]),
        ("\n", ["▁", "<0x0A>"]),
        ("a</s>the", ["▁a", "</s>", "▁the"]),
        ("a<tag>", ["▁a", "<tag>"]),
        ("", []),
    ],
)
def test_better_pieces_are_merged_first(text, expected):
    assert tokens_of(text) == expected


def test_no_space_comes_first_where_the_file_says_so():
    assert tokens_of("the a", **NO_PREFIX) == ["the", "▁a"]


def test_text_comes_back_from_its_tokens():
    for changes in ({}, NO_PREFIX):
        tokenizer = gguf_tokenizer.read_tokenizer(metadata(**changes))
        for text in ("the naïve  hat\n", "  a", "a<tag>", "😀"):
            encoding = tokenizer.encode(text, special=False)
            assert tokenizer.decode(encoding.ids) == text
            covered = {c for start, end in encoding.offsets for c in range(start, end)}
            assert covered == set(range(len(text)))


def test_bos_comes_first_unless_the_file_says_no():
    assert gguf_tokenizer.read_tokenizer(metadata()).encode("a").ids[0] == 1
    changes = {"tokenizer.ggml.add_bos_token": False}
    tokenizer = gguf_tokenizer.read_tokenizer(metadata(**changes))
    assert tokenizer.encode("a").ids[0] != 1


def test_runs_of_spaces_are_merged_by_place_for_gemma():
    changes = NO_PREFIX | {"general.architecture": "gemma3"}
    assert tokens_of("a  a", **changes) == ["a", "▁", "▁a"]
    swapped = metadata()["tokenizer.ggml.tokens"]
    place = swapped.index("▁t")
    swapped[place], swapped[-1] = swapped[-1], swapped[place]
    changes["tokenizer.ggml.tokens"] = swapped
    assert tokens_of("a  a", **changes) == ["a", "  ", "a"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tokenizer.ggml.scores": [0.0]}, "not as many scores"),
        ({"tokenizer.ggml.scores": [float("nan")] * 272}, "scores that are no numbers"),
        ({"tokenizer.ggml.add_eos_token": True}, "add_eos_token"),
        ({"tokenizer.ggml.model": "t5"}, "type 't5'; supported are gpt2, llama"),
        ({"tokenizer.ggml.tokens": ["a" * 1001] * 272}, "holds 'aaa.*twice"),
    ],
)
def test_what_cannot_be_built_faithfully_is_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        gguf_tokenizer.read_tokenizer(metadata(**changes))


def test_endless_pieces_are_refused():
    tokens = metadata()["tokenizer.ggml.tokens"]
    tokens[-2] = "a" * 1001
    with pytest.raises(ValueError, match="pieces beyond 1000 characters"):
        gguf_tokenizer.read_tokenizer(metadata(**{"tokenizer.ggml.tokens": tokens}))
