"""Whether two run folders hold the same rows, and the same values to rounding."""

import pathlib
from collections.abc import Iterable

import numpy as np

from mcq_jax.json_values import to_json
from mcq_jax.results import (
    JointTestsFindings,
    PlantedTruthFindings,
    RunFolder,
    RunResults,
    Storage,
    verdict,
)
from tests.experiments.golden import assert_same

# Of a column's largest entry, in float32: sums come in another order.
ROUNDING = 2e-5
TABLES = ("behaviour", "node_effects", "joint_tests", "head_classes")


def assert_same_runs(found: pathlib.Path, expected: pathlib.Path) -> None:
    """Of runs on one machine: the same files, and all in tables and findings."""
    assert files_of(found) == files_of(expected)
    tables = RunFolder(Storage.at(expected)).tables()
    assert_same_tables(found, expected, tables)
    here, there = (RunResults.read(Storage.at(path)) for path in (found, expected))
    assert list(here.records) == list(there.records)
    for name, record in there.records.items():
        ours = here.records[name]
        assert (ours.key, ours.needs) == (record.key, record.needs)
        assert ours.tables == record.tables
        assert_same(to_json(ours.values), to_json(record.values), name)


def files_of(folder: pathlib.Path) -> set[str]:
    """The names of all files in it."""
    found = (path for path in folder.rglob("*") if not path.is_dir())
    return {path.relative_to(folder).as_posix() for path in found}


def assert_same_tables(
    found: pathlib.Path, expected: pathlib.Path, tables: Iterable[str] = TABLES
) -> None:
    here, there = (RunFolder(Storage.at(path)) for path in (found, expected))
    for table in tables:
        ours, theirs = here.identities(table), there.identities(table)
        by_direction = {i.get("direction"): key for key, i in ours.items()}
        assert len(by_direction) == len(ours) == len(theirs)
        for key, made_of in theirs.items():
            own = by_direction[made_of.get("direction")]
            rows = _rows_of_both(ours[own], made_of)
            _assert_same(here.read(table, own), there.read(table, key), rows)
    ours, theirs = _conclusions(here), _conclusions(there)
    assert ours == theirs, {name: (ours[name], theirs[name]) for name in ours}


def _rows_of_both(some: dict, others: dict) -> np.ndarray:
    """Which rows of a table both have; rounding may order nodes that do nothing."""
    names = [made_of.get("rows", [""]) for made_of in (some, others)]
    same = np.array([one == other for one, other in zip(*names, strict=True)])
    assert same.mean() > 0.8
    return same


def _assert_same(columns: dict, want: dict, rows: np.ndarray) -> None:
    assert list(columns) == list(want)
    for name, column in want.items():
        kept = np.resize(rows, len(column))  # rows of the plan are the last axis
        found, expected = columns[name][kept], column[kept]
        if expected.dtype.kind == "f":
            bound = ROUNDING * float(np.abs(expected).max())
            np.testing.assert_allclose(
                found, expected, rtol=0, atol=bound, err_msg=name
            )
        elif name == "moved":
            # It compares bits, so rounding may move a node's zero: on another mesh
            # in 1.4 % of rows on one processor, in fewer than 1 % on others.
            assert (share := (found != expected).mean()) < 0.05, share
        else:
            np.testing.assert_array_equal(found, expected, err_msg=name)


def _conclusions(folder: RunFolder) -> dict:
    """What a run says in words, which rounding must not change."""
    run = RunResults.read(folder.storage)
    truth = run.get(PlantedTruthFindings)
    return {
        "verdict": verdict(run),
        "nodes": run.need(JointTestsFindings).selection.nodes,
        "classes": [(head.name, head.head_class) for head in run.heads],
        "agrees with what was planted": truth and truth.agrees,
    }
