"""Whatever stands in a question file: questions, or a sentence with file and line."""

import json
import random
import re
import time

import pytest

from mcq_jax import prompts

QUESTIONS = "".join(
    json.dumps(record, ensure_ascii=False) + "\n"
    for record in (
        {"question": "Which?", "options": ["sky", "corn"], "answer": 1, "id": "a"},
        {"question": "Où?", "choices": ["là", "ici", "10²"], "answer": "C"},
        {"question": 'A "b"\n?', "options": ["x", "y"], "answer": "x", "subject": "s"},
    )
)
PAIRS = "".join(
    json.dumps(record) + "\n"
    for record in (
        {"clean": "Mary gave to", "source": "John gave to", "answers": [" A", " B"],
         "gold": 0, "source_gold": 1, "spans": {"name": [[0, 4], [0, 4]]}},
        {"clean": "One two", "source": "Two one", "answers": [" x", " y"], "gold": 1},
    )
)  # fmt: skip
ROWS = 'What is it?,a,b,c,d,A\n"Which, ""then""?",é,"f\ng",h,i,D\n,q,r,s,t,B\n'
SAID = re.compile(r"(line \d+|^No (questions|pairs) in )")


def read_csv(path):
    return prompts.read_mmlu(path)


READERS = {
    "jsonl": (QUESTIONS, prompts.read_jsonl),
    "pairs.jsonl": (PAIRS, prompts.read_pairs),
    "csv": (ROWS.replace("\n,q", "\nq?,q"), read_csv),
}
# What is put in somewhere: broken text, other types, characters with a meaning.
PIECES = [
    *(bytes([byte]) for byte in b'\x00\xff\r\n",\\{}[]'), b"\xed\xa0\x80",
    b"null", b"true", b"1e999", b"-1", b"9" * 5000, b"NaN", b"\\ud800", b"\\u0000",
    b'"id":"a",', b'"answer":0,', b"\xef\xbb\xbf", "\u2028".encode(), b" " * 300,
    b"[" * 3000, b'{"a":' * 3000, b"x" * 200_000,
]  # fmt: skip
# What a field may hold instead: JSON as it should be, though not what is meant.
VALUES = [
    None, True, 0, 1, 2, -1, 1.0, 10**30, float("nan"), "", " ", "x", "B", "sky", "a",
    "\ud800", "\u200b", [], ["x"], ["x", "x "], ["x", "y", "z"], [["x"]], [0, 1], {},
    {"name": [[0, 4], [0, 4]]}, {"name": [[0, 4], [True, 4]]}, {"n": [[9, 1], [0, 1]]},
]  # fmt: skip


def with_other_fields(text: str, dice: random.Random) -> bytes:
    """Fields left out, renamed, and with other values."""
    records = [json.loads(line) for line in text.splitlines()]
    for _ in range(dice.randint(1, 2)):
        record = dice.choice(records)
        name = dice.choice(sorted(record))
        value = record.pop(name) if dice.random() < 0.2 else dice.choice(VALUES)
        record[dice.choice([name, name, name, "id", "x"])] = value
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def mutated(data: bytes, seed: int) -> bytes:
    """One to three cuts, doublings, changed bytes, swapped stretches, or pieces."""
    dice = random.Random(seed)
    for _ in range(dice.randint(1, 3)):
        at, end = sorted(dice.randrange(len(data) + 1) for _ in range(2))
        change = dice.randrange(6)
        if change == 0:
            data = data[:at] + data[end:]
        elif change == 1:
            data = data[:end] + data[at:end] + data[end:]
        elif change == 2:
            data = data[:at] + bytes([dice.randrange(256)]) + data[at + 1 :]
        elif change == 3:
            data = data[:at] + dice.choice(PIECES) + data[at:]
        elif change == 4:
            data = data[end:] + data[:at]
        else:
            values = list(re.finditer(rb'"[^"]*"|\[[^]]*\]|\d+', data)) or [None]
            one = dice.choice(values)
            if one is not None:
                data = data[: one.start()] + dice.choice(PIECES) + data[one.end() :]
    return data


def outcome(path, read, data: bytes) -> str:
    """Returns whether the file was read or refused, having checked either."""
    path.write_bytes(data)
    started = time.perf_counter()
    try:
        found = read(path)
    except ValueError as error:
        assert path.name in str(error) and SAID.search(str(error)), error
        assert len(str(error)) < 1_000_000
        return "refused"
    finally:
        assert time.perf_counter() - started < 5
    records: list = [None] * len(found)
    if read is not read_csv:  # what an independent reader finds in each line
        lines = data.decode("utf-8-sig").split("\n")
        records = [json.loads(line) for line in lines if line.strip()]
    for one, record in zip(found, records, strict=True):
        _assert_usable(one, record)
    return "read"


def _assert_usable(one, record) -> None:
    one.content_id.encode()
    if record is not None:
        same = {"question": "text", "clean": "clean", "source": "source", "id": "id"}
        for name, field in same.items():
            assert not record.get(name) or record[name] == getattr(one, field)
    if isinstance(one, prompts.Question):
        rendered = prompts.render(one, labels=[str(i) for i in range(len(one.options))])
        rendered.text.encode()  # a tokenizer takes only whole characters
        assert 0 <= rendered.gold < len(one.options)
    else:
        (one.clean + one.source + "".join(one.answers)).encode()
        assert 0 <= one.gold < len(one.answers)


def outcomes(folder, kind: str, seeds: range) -> dict[str, int]:
    text, read = READERS[kind]
    path = folder / f"mutated_test.{kind}"
    assert outcome(path, read, text.encode()) == "read"
    counts = {"read": 0, "refused": 0}
    for seed in seeds:
        data = mutated(text.encode(), seed)
        if seed % 2 and read is not read_csv:
            data = with_other_fields(text, random.Random(seed))
        counts[outcome(path, read, data)] += 1
    return counts


@pytest.mark.parametrize("kind", READERS)
def test_200_mutated_files_are_read_or_refused_with_a_sentence(tmp_path, kind):
    counts = outcomes(tmp_path, kind, range(200))
    assert min(counts.values()) > 10, counts  # both ways are taken


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", READERS)
def test_2000_more_mutated_files_are_too(tmp_path, kind):
    print(kind, outcomes(tmp_path, kind, range(200, 2200)))
