"""Whether two run folders hold the same rows, and the same values to rounding."""

import pathlib

import numpy as np

from mcq_jax.results import (
    JointTestsFindings,
    PlantedTruthFindings,
    RunFolder,
    RunResults,
    Storage,
    verdict,
)

# Of a column's largest entry, in float32: sums come in another order.
ROUNDING = 2e-5
TABLES = ("behaviour", "node_effects", "joint_tests", "head_classes")


def assert_same_tables(found: pathlib.Path, expected: pathlib.Path) -> None:
    here, there = (RunFolder(Storage.at(path)) for path in (found, expected))
    for table in TABLES:
        columns, want = here.read(table), there.read(table)
        assert list(columns) == list(want)
        for name, column in want.items():
            if column.dtype.kind == "f":
                scale = float(np.abs(column).max())
                np.testing.assert_allclose(
                    columns[name], column, rtol=0, atol=ROUNDING * scale, err_msg=name
                )
            else:
                np.testing.assert_array_equal(columns[name], column, err_msg=name)
    assert _conclusions(here) == _conclusions(there)


def _conclusions(folder: RunFolder) -> dict:
    """What a run says in words, which rounding must not change."""
    run = RunResults.read(folder.storage)
    return {
        "verdict": verdict(run),
        "nodes": run.need(JointTestsFindings).selection.nodes,
        "classes": [(head.name, head.head_class) for head in run.heads],
        "agrees with what was planted": run.need(PlantedTruthFindings).agrees,
    }
