"""Whatever became of a run's files: the same numbers, or a sentence that names it.

A part that cannot be read is made again; one whose numbers differ from those written is
refused, since nobody could see it.
"""

import collections
import json
import random
import time

import numpy as np
import pytest

from mcq_jax.experiments.manifest import moment_of
from mcq_jax.results import RunFolder, Storage, Table
from tests.prompts.test_mutated_files import mutated

IDENTITY = {"engine": "1", "weights": "a" * 64, "prompts": {"main": "b" * 32}}
MANIFEST = {"identity": IDENTITY, "moment": "2026-11-26T13:00:00", "title": "é"}
# What a JSON value may be instead.
VALUES = [None, True, -1, 10**30, float("nan"), "", "x", [], {}, [[]], {"main": 3}]


def columns() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "prompt": np.arange(40),
        "effect": rng.normal(size=(40, 3)).astype(np.float32),
        "subject": np.array([f"s{i % 3}" for i in range(40)]),
    }


def broken(data: bytes, seed: int) -> bytes:
    """One flipped bit, or one to three larger changes."""
    if seed % 2:
        return mutated(data, seed)
    changed, place = bytearray(data), random.Random(seed).randrange(8 * len(data))
    changed[place // 8] ^= 1 << place % 8
    return bytes(changed)


def outcome_of_part(folder, seed: int) -> str:
    table = Table(Storage.at(folder), "effects", "key")
    table.write_part(0, columns())
    path = folder / "tables/effects/key/part-00000.parquet"
    path.write_bytes(broken(path.read_bytes(), seed))
    if table.missing_parts(1):
        return "made again"
    try:
        found = table.read()
    except ValueError as error:
        assert path.name in str(error) and "delete it" in str(error), error
        return "refused"
    for name, array in columns().items():
        np.testing.assert_array_equal(found[name], array)
    return "right"


def outcome_of_manifest(folder, seed: int) -> str:
    dice = random.Random(seed)
    data = json.dumps(MANIFEST, indent=2, ensure_ascii=False).encode()
    if seed % 3:
        data = broken(data, seed)
    else:
        inner = dice.choice([MANIFEST, IDENTITY])
        changed = {**inner, dice.choice(sorted(inner)): dice.choice(VALUES)}
        whole = changed if inner is MANIFEST else {**MANIFEST, "identity": changed}
        data = json.dumps(whole).encode()
    path = folder / "manifest.json"
    path.write_bytes(data)
    try:
        moment_of(str(folder))
        opened = RunFolder.open(folder, MANIFEST)
    except ValueError as error:
        assert str(folder) in str(error), error
        return "refused"
    # Prompt sets of other names may stand beside; what both name is the same.
    found = opened.manifest()["identity"]
    assert found["prompts"].get("main", "b" * 32) == "b" * 32
    assert {**found, "prompts": IDENTITY["prompts"]} == IDENTITY
    return "right"


OUTCOMES = {"part": outcome_of_part, "manifest": outcome_of_manifest}


def outcomes(folder, kind: str, seeds: range) -> collections.Counter:
    counts: collections.Counter = collections.Counter()
    for seed in seeds:
        started = time.perf_counter()
        counts[OUTCOMES[kind](folder, seed)] += 1
        assert time.perf_counter() - started < 5
    return counts


@pytest.mark.parametrize("kind", OUTCOMES)
def test_40_mutated_files_of_a_run_are_right_or_refused(tmp_path, kind):
    counts = outcomes(tmp_path, kind, range(40))
    assert counts["refused"] > 5, counts


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", OUTCOMES)
def test_400_more_are_too(tmp_path, kind):
    print(kind, outcomes(tmp_path, kind, range(40, 440)))


def test_parts_of_before_digests_are_read(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "tables/old/key").mkdir(parents=True)
    numbers = pa.table({"a": np.arange(3)})
    pq.write_table(numbers, tmp_path / "tables/old/key/part-00000.parquet")
    table = Table(Storage.at(tmp_path), "old", "key")
    assert not table.missing_parts(1)
    assert table.read()["a"].tolist() == [0, 1, 2]
