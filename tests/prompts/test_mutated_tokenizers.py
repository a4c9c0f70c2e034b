"""Whatever stands in a tokenizer's files: a tokenizer, or a sentence naming a file."""

import collections
import json
import pathlib
import random
import time

import pytest

from mcq_jax import prompts
from tests.prompts import tokenizers_for_tests as small
from tests.prompts.test_mutated_files import mutated
from tests.prompts.test_tokenizer_files import FREE, KNOWN, TEXTS, token

CONFIG = {
    "added_tokens_decoder": KNOWN | {str(FREE): token("<|think|>")},
    "bos_token": "<s>",
    "eos_token": {"content": "<|im_end|>"},
    "add_bos_token": True,
    "chat_template": [{"name": "default", "template": small.CHATML}],
    "additional_special_tokens": ["<extra>"],
}
OLD = {"bos_token": "<s>", "additional_special_tokens": ["<extra>"]}
NAMES = {"pad_token": {"content": "<pad>", "lstrip": True}, "cls_token": "[CLS]"}
FILES = {
    "tokenizer.json": small.byte_level(bos=True).to_str().encode(),
    "tokenizer_config.json": json.dumps(CONFIG).encode(),
    "special_tokens_map.json": json.dumps(NAMES).encode(),
    "added_tokens.json": json.dumps({"<|think|>": FREE, "<pad>": FREE + 1}).encode(),
    "chat_template.jinja": small.CHATML.encode(),
}
VALUES = [
    None, True, 0, -1, 10**30, float("nan"), "", "x", "\ud800", "<s>", [], {}, [[]],
    {"content": 3}, {"content": ""}, {"content": "<s>", "lstrip": 1}, ["<b>", "<b>"],
]  # fmt: skip


def with_another_value(data: bytes, dice: random.Random) -> bytes:
    """One place, at any depth but the vocabulary's, holds something else."""
    whole = inner = json.loads(data)
    while True:
        keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
        key = dice.choice(keys[:40])
        deeper = isinstance(inner[key], dict | list) and len(inner[key])
        if not deeper or dice.random() < 0.3:
            inner[key] = dice.choice(VALUES)
            return json.dumps(whole).encode()
        inner = inner[key]


def outcome(folder: pathlib.Path, seed: int) -> str:
    dice = random.Random(seed)
    name = dice.choice(list(FILES))
    is_old = name in ("special_tokens_map.json", "added_tokens.json")
    for each, data in FILES.items():
        (folder / each).write_bytes(data)
    if is_old:
        (folder / "tokenizer_config.json").write_text(json.dumps(OLD))
    data = FILES[name]
    is_json = name.endswith(".json")
    data = (
        with_another_value(data, dice) if is_json and seed % 2 else mutated(data, seed)
    )
    (folder / name).write_bytes(data)
    started = time.perf_counter()
    try:
        tokenizer = prompts.TokenizerFile.from_file(folder)
    except ValueError as error:
        assert str(folder) in str(error) or "tokenizer_config" in str(error), error
        return "refused"
    finally:
        assert time.perf_counter() - started < 5
    try:
        check(tokenizer, name)
    except ValueError as error:
        assert "chat template" in str(error), error
        return "template refused"
    return "read"


def check(tokenizer: prompts.TokenizerFile, changed: str) -> None:
    for text in TEXTS:
        encoding = tokenizer.encode(text)
        assert len(encoding.ids) == len(encoding.offsets)
        assert all(0 <= id < 10**6 for id in encoding.ids)
        if changed != "tokenizer.json":  # which alone says what the pieces are
            assert tokenizer.decode(encoding.ids).startswith("<s>")
    if tokenizer.chat_template is not None:
        prompts.chat_of(tokenizer).around("hello")


def outcomes(folder: pathlib.Path, seeds: range) -> collections.Counter:
    return collections.Counter(outcome(folder, seed) for seed in seeds)


def test_60_mutated_tokenizers_are_read_or_refused(tmp_path):
    counts = outcomes(tmp_path, range(60))
    assert counts["read"] > 5 and counts["refused"] > 5, counts


@pytest.mark.exhaustive
def test_400_more_are_too(tmp_path):
    print(outcomes(tmp_path, range(60, 460)))
