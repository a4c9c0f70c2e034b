"""Two things have one fingerprint exactly if they are the same."""

import dataclasses
import enum
import functools
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax.results import identity
from mcq_jax.results.identity import fingerprint, key_of, weights_fingerprint


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


@dataclasses.dataclass(frozen=True)
class Plan:
    layers: np.ndarray
    name: str = "every"


@dataclasses.dataclass(frozen=True)
class OtherPlan:
    layers: np.ndarray
    name: str = "every"


def effect(outcome):
    return outcome


def loss(outcome):
    return -outcome


def versioned(outcome):
    return loss(outcome)


LONG = np.zeros(5000, np.float32)  # numpy prints three numbers of each end
CHANGED = LONG.copy()
CHANGED[2500] = 1e-30

DIFFERENT = {
    "a number deep inside": (LONG, CHANGED),
    "type": (np.zeros(3, np.float32), np.zeros(3, np.float64)),
    "shape": (np.zeros((2, 3)), np.zeros((3, 2))),
    "sign of zero": (np.array(0.0), np.array(-0.0)),
    "member": (Colour.RED, Colour.BLUE),
    "field": (Plan(LONG), Plan(CHANGED)),
    "class": (Plan(LONG), OtherPlan(LONG)),
    "function": (effect, loss),
    "order": ([1, 2], [2, 1]),
    "key": ({"a": 1}, {"b": 1}),
    "kind of number": (1, 1.5),
    "none or text": (None, "None"),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_different_things_have_different_keys(name: str):
    one, other = DIFFERENT[name]
    assert key_of({"it": one}) != key_of({"it": other})


def test_equal_things_have_one_key():
    same = [
        (LONG, jnp.asarray(LONG)),
        (np.arange(6).reshape(2, 3).T, np.array([[0, 3], [1, 4], [2, 5]])),
        (effect, jax.jit(effect)),
        ((1, 2), [1, 2]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({3, 1}, {1, 3}),
    ]
    for one, other in same:
        assert key_of({"it": one}) == key_of({"it": other})


def test_a_function_goes_by_its_source(tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(tmp_path)
    found = set()
    for number, body in enumerate(("x + 1", "x + 2", "x + 1  # again")):
        text = f"def metric(x):\n    return {body}\n"
        (tmp_path / f"user{number}.py").write_text(text)
        module = __import__(f"user{number}")
        module.metric.__module__ = "user"
        found.add(fingerprint(module.metric)["source"])
    assert len(found) == 3


def _made_inside():
    def inner(x):
        return x

    return inner


@pytest.mark.parametrize(
    "function",
    [lambda x: x, functools.partial(effect, 1), _made_inside(), "".join, print],
    ids=["lambda", "partial", "closure", "method", "builtin"],
)
def test_functions_that_cannot_be_told_apart_are_refused(function):
    with pytest.raises(ValueError, match="at the top of a module"):
        fingerprint(function)


def test_a_version_tells_a_function_whose_callees_changed():
    before = fingerprint(versioned)
    versioned.__dict__["version"] = 2
    assert fingerprint(versioned) != before


def test_other_types_are_refused():
    with pytest.raises(ValueError, match="cannot depend on a object"):
        fingerprint(object())


def test_a_key_is_the_same_in_another_process():
    code = (
        "from mcq_jax.results.identity import key_of; import numpy as np;"
        "print(key_of({'a': np.arange(3.0), 'b': {'x', 'y', 'z'}}))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == key_of({"b": {"z", "y", "x"}, "a": np.arange(3.0)})


def test_weights_go_by_their_bytes():
    weights = {"w": jnp.ones((2, 2)), "b": jnp.zeros(2)}
    changed = {"w": jnp.ones((2, 2)).at[1, 1].set(2), "b": jnp.zeros(2)}
    assert weights_fingerprint(weights) == weights_fingerprint(dict(weights))
    assert weights_fingerprint(weights) != weights_fingerprint(changed)
    assert identity.ENGINE_VERSION >= 1
