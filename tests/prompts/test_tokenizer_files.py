"""The files of a published tokenizer mean what they mean to `transformers` 5."""

import json
import pathlib

import pytest

from mcq_jax import prompts
from mcq_jax.prompts import tokenizer_files
from tests.prompts import tokenizers_for_tests as small

TEXTS = ("a <|think|> b", "<s> apple <pad> x<extra> [CLS]", "  <|im_start|>A) apple\n")
# Ids of `small.byte_level`, and the first that is free.
BOS, START, END, FREE = 0, 1, 2, small.byte_level().get_vocab_size()


def token(content: str, **flags) -> dict:
    names = ("single_word", "lstrip", "rstrip", "normalized")
    return {"content": content, "special": True, **dict.fromkeys(names, False), **flags}


KNOWN = {
    str(BOS): token("<s>"),
    str(START): token("<|im_start|>"),
    str(END): token("<|im_end|>"),
}
# Content of tokenizer_config.json and of files beside it.
CASES: dict[str, tuple[dict, dict]] = {
    "a token of added_tokens_decoder": (
        {"added_tokens_decoder": KNOWN | {str(FREE): token("<|think|>")}}, {},
    ),
    "a known token that eats spaces": (
        {"added_tokens_decoder": {str(START): token("<|im_start|>", lstrip=True)}}, {},
    ),
    "names in the config": (
        {
            "pad_token": "<pad>",
            "cls_token": "[CLS]",
            "additional_special_tokens": ["<extra>"],
        },
        {},
    ),
    "files of older folders": (
        {"bos_token": "<s>"},
        {
            "special_tokens_map.json": {
                "pad_token": {"content": "<pad>", "lstrip": True},
                "additional_special_tokens": ["<extra>"],
            },
            "added_tokens.json": {"<|think|>": FREE, "<pad>": FREE + 1},
        },
    ),
    "older files that do not count": (
        {"added_tokens_decoder": KNOWN},
        {"added_tokens.json": {"<|think|>": FREE}},
    ),
    "add_bos_token": ({"add_bos_token": True, "bos_token": "<s>"}, {}),
    "add_eos_token": ({"add_eos_token": True, "eos_token": "<|im_end|>"}, {}),
}  # fmt: skip


def write(folder: pathlib.Path, config: dict, *, bos: bool = False, **beside) -> None:
    small.byte_level(bos=bos).save(str(folder / "tokenizer.json"))
    contents = {"tokenizer_config.json": config, **beside}
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content))


def read(folder: pathlib.Path) -> prompts.TokenizerFile:
    return prompts.TokenizerFile.from_file(folder)


@pytest.mark.parity
@pytest.mark.parametrize("bos", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_ids_equal_the_references(tmp_path, case, bos):
    transformers = pytest.importorskip("transformers")
    config, beside = CASES[case]
    config = config | {"tokenizer_class": "PreTrainedTokenizerFast"}
    write(tmp_path, config, bos=bos, **beside)
    reference = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in TEXTS:
        assert read(tmp_path).encode(text).ids == reference(text)["input_ids"]


@pytest.mark.parametrize(
    ("case", "text", "expected"),
    [
        ("a token of added_tokens_decoder", "<|think|>", [FREE]),
        ("a known token that eats spaces", "   <|im_start|>", [START]),
        ("names in the config", "<pad>[CLS]<extra>", [FREE, FREE + 1, FREE + 2]),
        ("files of older folders", "<|think|><extra>", [FREE, FREE + 2]),
        ("add_bos_token", "<s>", [BOS]),
    ],
)
def test_tokens_known_only_beside_tokenizer_json_are_one_token(
    tmp_path, case, text, expected
):
    config, beside = CASES[case]
    write(tmp_path, config, **beside)
    assert read(tmp_path).encode(text).ids == expected


def test_files_that_do_not_count_are_no_part_of_a_checkpoints_identity(tmp_path):
    def names():
        return [path.name for path in tokenizer_files.files_beside(tmp_path)]

    own = ["tokenizer.json", "tokenizer_config.json"]
    beside = CASES["files of older folders"][1]
    write(tmp_path, {}, **beside)
    assert names() == [*own, *beside]
    write(tmp_path, {"added_tokens_decoder": {}}, **beside)
    assert names() == own


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"added_tokens_decoder": []}, "no JSON object"),
        ({"added_tokens_decoder": {"x": token("<a>")}}, "the id 'x'"),
        ({"added_tokens_decoder": {"-1": token("<a>")}}, "the id '-1'"),
        ({"added_tokens_decoder": {"9": "<a>"}}, "with a content"),
        ({"added_tokens_decoder": {"9": token("<a>", lstrip=3)}}, "is a bool"),
        ({"added_tokens_decoder": {"9": token("<a>")}}, "id 9 beside .* in it"),
        ({"additional_special_tokens": 3}, "are no list"),
        ({"split_special_tokens": True}, "split_special_tokens"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_as_the_reference_does_is_refused(tmp_path, config, said):
    write(tmp_path, config)
    with pytest.raises(ValueError, match=said):
        read(tmp_path)


def test_broken_files_are_refused_by_their_own_name(tmp_path):
    write(tmp_path, {})
    for name in ("special_tokens_map.json", "added_tokens.json", "chat_template.jinja"):
        (tmp_path / name).write_bytes(b"\xff")
        with pytest.raises(ValueError, match=name):
            read(tmp_path)
        (tmp_path / name).unlink()


def test_a_saved_tokenizer_comes_back_with_its_first_token(tmp_path):
    made = prompts.TokenizerFile(
        small.byte_level(), special_tokens={"pad_token": "<pad>"}, prepend="<s>"
    )
    made.save(tmp_path)
    again = read(tmp_path)
    for text in TEXTS:
        assert again.encode(text) == made.encode(text)
        assert again.encode(text).ids[0] == BOS
    assert again.special_tokens == {"pad_token": "<pad>", "bos_token": "<s>"}
    assert again.vocabulary_size == FREE  # nothing was added


def test_folders_that_mcq_jax_saved_before_keep_their_first_token(tmp_path):
    # As `TokenizerFile.save` once wrote it, beside the model's description.
    write(tmp_path, {"bos_token": "<s>", "add_bos_token": True})
    assert read(tmp_path).encode("apple").ids[0] != BOS
    (tmp_path / "mcq_jax.json").write_text("{}")
    assert read(tmp_path).encode("apple").ids[0] == BOS
    write(tmp_path, {"bos_token": "<s>"})
    assert read(tmp_path).encode("apple").ids[0] != BOS
