"""Runs a jaxpr again, equation by equation, with edits and captures at named values.

An equation is bound as it stands unless something wanted lies inside it; then it is
built anew by the public function that made it (`jax.jit`, `jax.lax.scan`, ...), around
the same evaluation of what is inside. So loops stay loops and remat stays remat.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from mcq_jax.tagged import jaxprs, visits
from mcq_jax.tagged.jaxprs import Construct
from mcq_jax.tagged.visits import Buffer, Context

Buffers = dict[int, Buffer]  # by the capture's number


@dataclasses.dataclass(frozen=True, kw_only=True)
class Visit:
    """What to do at one named value: numbers of edits and captures, in order."""

    path: tuple[int, ...]  # the rest of the way, seen from the jaxpr at hand
    edits: tuple[int, ...]
    captures: tuple[int, ...]


Plan = tuple[Visit, ...]


def evaluate(
    jaxpr: Any, plan: Plan, context: Context, buffers: Buffers, inputs: Sequence[Any]
) -> tuple[list[Any], Buffers]:
    """Returns the outputs of a jaxpr and the buffers, filled where the plan says so."""
    body, constants = jaxprs.opened(jaxpr)
    values = dict(zip(body.constvars, constants, strict=True))
    values.update(zip(body.invars, inputs, strict=True))

    def read(atom: Any) -> Any:
        return atom.val if jaxprs.is_literal(atom) else values[atom]

    buffers = dict(buffers)
    last_use = _last_use(body)
    for index, equation in enumerate(body.eqns):
        arguments = [read(atom) for atom in equation.invars]
        inside = _inside(plan, index)
        with jaxprs.settings_of(equation):
            if inside:
                kind = jaxprs.construct(equation)
                wanted = {number: buffers[number] for number in _captures(inside)}
                outputs, filled = _RULES[kind](
                    equation, inside, context, wanted, arguments
                )
                buffers.update(filled)
            else:
                outputs = jaxprs.rebind(equation, arguments)
        values.update(zip(equation.outvars, outputs, strict=True))
        for variable in last_use.get(index, ()):
            values.pop(variable, None)  # run by hand, memory is freed in time
    return [read(atom) for atom in body.outvars], buffers


def _inside(plan: Plan, index: int) -> Plan:
    return tuple(
        dataclasses.replace(visit, path=visit.path[1:])
        for visit in plan
        if visit.path[0] == index
    )


def _captures(plan: Plan) -> set[int]:
    return {number for visit in plan for number in visit.captures}


def _last_use(body: Any) -> dict[int, list[Any]]:
    """Which variables are read for the last time by which equation."""
    last = {}
    for index, equation in enumerate(body.eqns):
        for variable in (*equation.invars, *equation.outvars):
            if not jaxprs.is_literal(variable):
                last[variable] = index
    for variable in body.outvars:
        if not jaxprs.is_literal(variable):
            last.pop(variable, None)
    by_index = {}
    for variable, index in last.items():
        by_index.setdefault(index, []).append(variable)
    return by_index


def _name(equation, plan, context, buffers, inputs):
    (visit,), x = plan, jnp.asarray(inputs[0])  # a number in the program is no array
    for number in visit.edits:
        x = visits.change(context.edits[number], x, context)
    (x,) = jaxprs.rebind(equation, [x])  # remat policies see the name as before
    filled = {
        number: visits.keep(context.captures[number], x, buffers[number], context)
        for number in visit.captures
    }
    return [x], filled


def _jit(equation, plan, context, buffers, inputs):
    parameters = equation.params
    inputs = _constrained(inputs, parameters["in_shardings"])
    compiled = compiled_with(tuple(parameters["compiler_options_kvs"]))
    (inner,) = jaxprs.inner_jaxprs(equation)
    outputs, filled = compiled(inner, _inside(plan, 0), context, buffers, inputs)
    return _constrained(outputs, parameters["out_shardings"]), filled


@functools.cache
def compiled_with(options: tuple[tuple[str, Any], ...]) -> Any:
    """One function for all jaxprs, so that `jit` remembers what it has compiled."""
    return jax.jit(
        evaluate, static_argnums=(0, 1), compiler_options=dict(options) or None
    )


def _constrained(values: Sequence[Any], shardings: Sequence[Any]) -> list[Any]:
    return [
        jax.lax.with_sharding_constraint(value, sharding)
        if isinstance(sharding, jax.sharding.Sharding)
        else value
        for value, sharding in zip(values, shardings, strict=True)
    ]


def _scan(equation, plan, context, buffers, inputs):
    groups = jaxprs.split_scan(equation, inputs)
    settings = jaxprs.scan_settings(equation)
    (inner,) = jaxprs.inner_jaxprs(equation)

    def body(state, x):
        carry, buffers = state
        step, xs = x
        outputs, buffers = evaluate(
            inner,
            _inside(plan, 0),
            context.within(step, settings["length"]),
            buffers,
            [*groups.constants, *carry, *xs],
        )
        return (outputs[: len(carry)], buffers), outputs[len(carry) :]

    steps = jnp.arange(settings["length"], dtype=jnp.int32)
    (carry, buffers), ys = jax.lax.scan(
        body, (groups.carry, buffers), (steps, groups.xs), **settings
    )
    return [*carry, *ys], buffers


def _while(equation, plan, context, buffers, inputs):
    condition_constants, body_constants, carry = jaxprs.split_while(equation, inputs)
    condition, inner = jaxprs.inner_jaxprs(equation)

    def goes_on(state):
        carry, _, _ = state
        nothing = ((), context, {})
        ((verdict,), _) = evaluate(condition, *nothing, [*condition_constants, *carry])
        return verdict

    def body(state):
        carry, buffers, step = state
        around = context.within(step, context.max_steps)
        carry, buffers = evaluate(
            inner, _inside(plan, 1), around, buffers, [*body_constants, *carry]
        )
        return carry, buffers, step + 1

    state = jax.lax.while_loop(goes_on, body, (carry, buffers, jnp.int32(0)))
    return state[0], state[1]


def _cond(equation, plan, context, buffers, inputs):
    index, *operands = inputs
    branches = [
        functools.partial(evaluate, inner, _inside(plan, child), context)
        for child, inner in enumerate(jaxprs.inner_jaxprs(equation))
    ]
    return jax.lax.switch(index, branches, buffers, operands)


def _remat(equation, plan, context, buffers, inputs):
    parameters = equation.params
    (inner,) = jaxprs.inner_jaxprs(equation)
    prevent_cse = parameters["prevent_cse"]
    if isinstance(prevent_cse, tuple):  # one flag per input
        prevent_cse = (True, True, list(prevent_cse))
    run_inside = jax.checkpoint(
        functools.partial(evaluate, inner, _inside(plan, 0)),
        prevent_cse=prevent_cse,  # pyright: ignore[reportArgumentType]
        policy=parameters["policy"],
    )
    return run_inside(context, buffers, inputs)


def _call(equation, plan, context, buffers, inputs):
    (inner,) = jaxprs.inner_jaxprs(equation)
    return evaluate(inner, _inside(plan, 0), context, buffers, inputs)


def _custom_rule(equation, plan, context, buffers, inputs):
    """Runs forward only: the author's derivative does not know of the edits."""
    return _forward_only(_call(equation, plan, context, buffers, inputs))


@jax.custom_jvp
def _forward_only(values):
    return values


@_forward_only.defjvp
def _refuse_derivative(primals, tangents):
    raise NotImplementedError(
        "a derivative was asked through a custom_jvp or custom_vjp function inside of "
        "which a named value is edited or captured; its author's rule does not know of "
        "that. Name the value outside of that function, or run forward only."
    )


_RULES: dict[Construct, Callable] = {
    Construct.NAME: _name,
    Construct.JIT: _jit,
    Construct.SCAN: _scan,
    Construct.WHILE: _while,
    Construct.COND: _cond,
    Construct.REMAT: _remat,
    Construct.CALL: _call,
    Construct.CUSTOM_RULE: _custom_rule,
}
