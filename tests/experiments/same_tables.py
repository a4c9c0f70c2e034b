"""Whether two run folders hold the same rows, and the same values to rounding."""

import json
import pathlib

import numpy as np

from mcq_jax.results import RunFolder, Storage

# Of a column's largest entry, in float32: sums come in another order.
ROUNDING = 2e-5
TABLES = ("behaviour", "effects", "joint")


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
    found = json.loads(folder.read_text("findings.json"))
    return {
        "verdict": found["verdict"],
        "nodes": found["selection"]["nodes"],
        "classes": [(head["name"], head["head_class"]) for head in found["heads"]],
        "agrees with what was planted": found["planted"]["agrees"],
    }
