"""A stream is a pure function of the step, and an epoch of a file reads it once."""

import pathlib

import numpy as np
import pytest

from mcq_jax.training import TokenFile

ROWS, TIME = 3, 4


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    np.save(tmp_path / "tokens.npy", np.arange(50, dtype=np.uint16))
    return tmp_path / "tokens.npy"


def test_a_batch_does_not_depend_on_what_was_asked_before(path: pathlib.Path):
    stream = TokenFile(path, rows=ROWS, time=TIME, seed=1)
    in_order = [stream.batch(step).ids for step in range(12)]
    backwards = [TokenFile(path, rows=ROWS, time=TIME, seed=1).batch(11 - i).ids
                 for i in range(12)]  # fmt: skip
    np.testing.assert_array_equal(in_order, backwards[::-1])
    other = TokenFile(path, rows=ROWS, time=TIME, seed=2)
    assert (other.batch(0).ids != in_order[0]).any()


def test_an_epoch_has_whole_windows_and_none_twice(path: pathlib.Path):
    stream = TokenFile(path, rows=ROWS, time=TIME)
    steps = stream.steps_per_epoch
    epochs = []
    for epoch in range(3):
        batches = [stream.batch(epoch * steps + step) for step in range(steps)]
        ids = np.concatenate([batch.ids for batch in batches])
        assert ids.dtype == np.int32
        assert (np.diff(ids) == 1).all()
        assert len(np.unique(ids)) == ids.size
        assert all((batch.weights == 1).all() for batch in batches)
        epochs.append(ids)
    assert len({tuple(ids[:, 0]) for ids in epochs}) == 3


def test_what_is_no_file_of_tokens_is_refused(path: pathlib.Path):
    with pytest.raises(ValueError, match="too few for batches of 20 rows"):
        TokenFile(path, rows=20, time=TIME)
    with pytest.raises(ValueError, match="counted from 0"):
        TokenFile(path, rows=ROWS, time=TIME).batch(-1)
    np.save(path, np.zeros((3, 3)))
    with pytest.raises(ValueError, match="float64 of shape"):
        TokenFile(path, rows=ROWS, time=TIME)
