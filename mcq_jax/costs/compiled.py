"""`compile_all`: every program that a host function would run, compiled but never run.

A pass is a Python function that starts compiled programs one after another. Traced as
a whole it is the list of these; each distinct one is compiled once, with the shardings
that the ones before it leave behind. So what is costed is the real thing, whatever
passes come to look like.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.extend import core

from mcq_jax.sharding import Collective, collectives


@dataclasses.dataclass(frozen=True, kw_only=True)
class Program:
    """One compiled program; all numbers are of one device."""

    name: str
    # How often it is started.
    count: int
    flops: float
    # Read from and written to the device's memory.
    bytes: float
    collectives: tuple[Collective, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class HostProgram:
    """All programs of a host function."""

    programs: tuple[Program, ...]
    # What it returns, as shapes with shardings.
    result: Any
    # The most memory in use on one device at any time: arguments, what is alive
    # between programs, and the temporaries of the program then running.
    peak_bytes: int
    # That program's share of it.
    temporary_bytes: int


def compile_all(function: Callable, *arguments: Any) -> HostProgram:
    """Compiles what `function(*arguments)` would run.

    Args:
        arguments: trees of `jax.ShapeDtypeStruct`, with shardings.
    """
    closed, shapes = jax.make_jaxpr(function, return_shape=True)(*arguments)
    walk = _Walk(closed, jax.tree.leaves(arguments))
    for step in range(len(closed.jaxpr.eqns)):
        walk.run(step)
    leaves = [walk.read(variable) for variable in closed.jaxpr.outvars]
    return HostProgram(
        programs=tuple(walk.programs.values()),
        result=jax.tree.unflatten(jax.tree.structure(shapes), leaves),
        peak_bytes=walk.peak_bytes,
        temporary_bytes=walk.temporary_bytes,
    )


class _Walk:
    """Goes through a traced function, compiling each distinct call once."""

    def __init__(self, closed, arguments: list[jax.ShapeDtypeStruct]):
        self.jaxpr = closed.jaxpr
        consts = [_shape_of(np.asarray(const)) for const in closed.consts]
        self.shapes = dict(zip(self.jaxpr.constvars, consts, strict=True))
        self.shapes.update(zip(self.jaxpr.invars, arguments, strict=True))
        self.last_use = self._last_uses()
        self.compiled: dict[Any, Any] = {}
        self.programs: dict[Any, Program] = {}
        self.peak_bytes = self.temporary_bytes = 0

    def read(self, variable) -> jax.ShapeDtypeStruct:
        if isinstance(variable, core.Literal):
            return _shape_of(np.asarray(variable.val))
        return self.shapes[variable]

    def run(self, step: int) -> None:
        """One call: compile it if it is new, note its results and the memory in use."""
        call = self.jaxpr.eqns[step]
        inputs = [self.read(variable) for variable in call.invars]
        key = (_signature(call), tuple((s.shape, s.dtype, s.sharding) for s in inputs))
        if key not in self.compiled:
            self.compiled[key] = jax.jit(_as_function(call)).lower(*inputs).compile()
        compiled = self.compiled[key]
        self._count(key, call, compiled)
        shardings = jax.tree.leaves(compiled.output_shardings)
        for variable, sharding in zip(call.outvars, shardings, strict=True):
            shape, dtype = variable.aval.shape, variable.aval.dtype
            self.shapes[variable] = jax.ShapeDtypeStruct(
                shape, dtype, sharding=sharding
            )
        self._note_memory(step, compiled)

    def _count(self, key, call, compiled) -> None:
        before = self.programs.get(key)
        if before is not None:
            self.programs[key] = dataclasses.replace(before, count=before.count + 1)
            return
        cost = compiled.cost_analysis() or {}
        self.programs[key] = Program(
            name=call.params.get("name", call.primitive.name),
            count=1,
            flops=max(0.0, cost.get("flops", 0.0)),
            bytes=cost.get("bytes accessed", 0.0),
            collectives=tuple(collectives(compiled.as_text() or "")),
        )

    def _note_memory(self, step: int, compiled) -> None:
        gone = [v for v in self.shapes if self.last_use.get(v, step) < step]
        for variable in gone:
            del self.shapes[variable]
        alive = sum(map(device_bytes, self.shapes.values()))
        temporary = compiled.memory_analysis().temp_size_in_bytes
        if alive + temporary > self.peak_bytes:
            self.peak_bytes = alive + temporary
            self.temporary_bytes = temporary

    def _last_uses(self) -> dict[Any, int]:
        """The last step that reads each variable; arguments and results stay."""
        last = {v: i for i, c in enumerate(self.jaxpr.eqns) for v in _variables(c)}
        kept = [*self.jaxpr.invars, *self.jaxpr.outvars]
        ever = len(self.jaxpr.eqns)
        last.update({v: ever for v in kept if _is_variable(v)})
        return last


def device_bytes(shape: jax.ShapeDtypeStruct) -> int:
    """Returns the bytes that an array takes on one device."""
    sharding = shape.sharding
    part = shape.shape if sharding is None else sharding.shard_shape(shape.shape)
    return int(np.prod(part, dtype=np.int64)) * shape.dtype.itemsize


def tree_bytes(tree: Any) -> int:
    """Returns the bytes that a tree of shapes takes on one device."""
    return sum(map(device_bytes, jax.tree.leaves(tree)))


def _as_function(call) -> Callable:
    if "jaxpr" in call.params and call.primitive.name in ("jit", "pjit"):
        return core.jaxpr_as_fun(call.params["jaxpr"])
    return lambda *inputs: call.primitive.bind(*inputs, **call.params)


def _signature(call):
    """What tells one call from another, whatever numbers stand in it."""
    inner = call.params.get("jaxpr")
    steps = () if inner is None else inner.jaxpr.eqns
    results = tuple((v.aval.shape, v.aval.dtype) for v in call.outvars)
    body = tuple(
        (c.primitive.name, tuple(v.aval.shape for v in c.outvars)) for c in steps
    )
    return call.primitive.name, call.params.get("name"), results, body


def _variables(call):
    return [v for v in (*call.invars, *call.outvars) if _is_variable(v)]


def _is_variable(variable) -> bool:
    return not isinstance(variable, core.Literal)


def _shape_of(array: np.ndarray) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape, array.dtype)
