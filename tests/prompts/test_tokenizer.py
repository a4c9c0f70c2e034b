import json

import pytest
import tokenizers

from mcq_jax import prompts
from tests.prompts import tokenizers_for_tests as small

TEXTS = ("A) apple\n\nB)  x \n", "  lead", "naïve 😀 ok\r\n", "", "Answer: (")


@pytest.mark.parametrize("trim", [True, False])
@pytest.mark.parametrize("text", TEXTS)
def test_offsets_cover_every_character_even_white_space(text, trim):
    tokenizer = prompts.TokenizerFile(small.byte_level(trim_offsets=trim))
    covered = set()
    for start, end in tokenizer.encode(text).offsets:
        covered |= set(range(start, end))
    assert covered == set(range(len(text)))


@pytest.mark.parametrize("text", TEXTS)
def test_wrapping_changes_no_ids(text):
    inner = small.byte_level(bos=True)
    tokenizer = prompts.TokenizerFile(inner)
    assert tokenizer.encode(text).ids == inner.encode(text).ids
    assert tokenizer.decode(tokenizer.encode(text).ids) == small.BOS + text


def test_special_tokens_have_no_characters_and_can_be_left_out():
    tokenizer = prompts.TokenizerFile(small.byte_level(bos=True))
    plain = tokenizer.encode("apple", special=False)
    full = tokenizer.encode("apple")
    assert full.ids[1:] == plain.ids
    assert full.offsets[0] == (0, 0)


def test_stored_truncation_and_padding_are_turned_off():
    inner = small.byte_level()
    inner.enable_truncation(2)
    inner.enable_padding(length=50)
    ids = prompts.TokenizerFile(inner).encode("apple river stone").ids
    assert ids == small.byte_level().encode("apple river stone").ids
    assert 2 < len(ids) < 50


def test_a_folder_gives_tokenizer_chat_template_and_special_tokens(tmp_path):
    small.byte_level().save(str(tmp_path / "tokenizer.json"))
    config = {
        "chat_template": [{"name": "default", "template": "hello"}],
        "bos_token": {"content": small.BOS},
        "eos_token": "<|im_end|>",
        "pad_token": None,
    }
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = prompts.TokenizerFile.from_file(tmp_path)
    assert tokenizer.chat_template == "hello"
    assert tokenizer.special_tokens == {
        "bos_token": small.BOS,
        "eos_token": "<|im_end|>",
    }
    (tmp_path / "chat_template.jinja").write_text("beside")
    assert prompts.TokenizerFile.from_file(tmp_path).chat_template == "beside"


def test_missing_and_broken_tokenizer_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="No tokenizer at .*tokenizer.json"):
        prompts.TokenizerFile.from_file(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"version": ')
    with pytest.raises(ValueError, match="no readable tokenizer"):
        prompts.TokenizerFile.from_file(tmp_path)


def test_words_line_breaks_and_marks_are_one_token_each():
    tokenizer = prompts.WordTokenizer(["<s>", "\n", "A", ")", "w1", "?"], bos="<s>")
    encoding = tokenizer.encode("w1?\nA) w1")
    assert encoding.ids == [0, 4, 5, 1, 2, 3, 4]
    assert encoding.offsets == [
        (0, 0), (0, 2), (2, 3), (3, 4), (4, 5), (5, 6), (7, 9)
    ]  # fmt: skip
    assert tokenizer.decode(encoding.ids) == "<s> w1 ? \n A ) w1"
    assert tokenizer.encode("<s> w1", special=False).ids == [0, 4]
    assert tokenizer.vocabulary_size == 6


def test_an_unknown_word_is_named():
    with pytest.raises(ValueError, match="Word 'pear' of 'A pear' .* 1 words"):
        prompts.WordTokenizer(["A"]).encode("A pear")


def test_text_that_a_tokenizer_has_no_tokens_for_is_named():
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0}, unk_token="?"))
    with pytest.raises(ValueError, match="cannot encode 'b' .*; give text of its 1 to"):
        prompts.TokenizerFile(words).encode("b")


def test_a_word_given_twice_is_named():
    with pytest.raises(ValueError, match=r"more than once: \['A'\]"):
        prompts.WordTokenizer(["A", "B", "A"])
