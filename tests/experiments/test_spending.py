"""What an experiment took: compiled programs are counted, those read from disk not."""

import uuid

import jax
import jax.numpy as jnp

from mcq_jax.experiments.spending import spending
from mcq_jax.results import Record, Spent
from tests import tiny

(CONFIG, *_) = tiny.CASES.values()


def _a_program_that_nobody_has():
    number = uuid.uuid4().int % 2**20
    return lambda x: x * number + 1


def test_programs_are_counted_from_here_on_and_once():
    x = jnp.ones(3)
    one, other, third = (_a_program_that_nobody_has() for _ in range(3))
    jax.jit(one)(x)
    with spending(CONFIG) as spent:
        assert spent().programs == 0
        jax.jit(other)(x)
        with spending(CONFIG) as inner:
            jax.jit(third)(x)
            jax.jit(third)(x)
        assert inner().programs == 1
        found = spent()
    assert found.programs == 2
    assert 0 < found.compile_seconds <= found.wall_seconds
    assert found.peak_bytes is None or found.peak_bytes > 1e6
    assert found.flops == 0  # no model ran


def test_findings_say_what_they_took_and_older_ones_nothing():
    spent = Spent(
        wall_seconds=2.0, cpu_seconds=3.5, programs=4, compile_seconds=1.0,
        peak_bytes=None,
    )  # fmt: skip
    text = Record(values={"a": 1}, spent=spent).to_json("mine")
    assert Record.from_json(text, None, "mine.json").spent == spent
    older = text.replace('"spent"', '"something of a later version"')
    assert Record.from_json(older, None, "mine.json").spent is None
