"""Everything that knows how a jaxpr is laid out: parameters of equations differ
between releases of jax, and only this file may care.

It reads equations (which kind, which jaxprs inside, how a scan splits its inputs) and
binds them again as they were. Written for jax 0.10.2 to 0.12.
"""

import contextlib
import dataclasses
import enum
from collections.abc import Iterator, Sequence
from typing import Any

import jax
from jax.extend import core
from jax.extend.core import primitives


class Construct(enum.Enum):
    """What an equation is to us; the value is the word for it in tables and errors."""

    NAME = "checkpoint_name"
    JIT = "jit"
    SCAN = "scan"
    WHILE = "while"
    COND = "cond"
    REMAT = "remat"
    CALL = "call"
    CUSTOM_RULE = "custom derivative"
    OTHER = "other"


_CONSTRUCTS = {
    primitives.name_p: Construct.NAME,
    primitives.jit_p: Construct.JIT,
    primitives.scan_p: Construct.SCAN,
    primitives.while_p: Construct.WHILE,
    primitives.cond_p: Construct.COND,
    primitives.remat_p: Construct.REMAT,
    primitives.call_p: Construct.CALL,
    primitives.closed_call_p: Construct.CALL,
    primitives.custom_jvp_call_p: Construct.CUSTOM_RULE,
    primitives.custom_vjp_call_p: Construct.CUSTOM_RULE,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScanInputs:
    """The three groups of a scan's flat inputs."""

    constants: list[Any]
    carry: list[Any]
    xs: list[Any]


def construct(equation: core.JaxprEqn) -> Construct:
    found = _CONSTRUCTS.get(equation.primitive, Construct.OTHER)
    if equation.params.get("branches_platforms") is not None:
        return Construct.OTHER  # platform_dependent: the index is no ordinary value
    return found


def inner_jaxprs(equation: core.JaxprEqn) -> list[Any]:
    """The jaxprs inside an equation; a while gives its condition, then its body."""
    parameters = equation.params
    match construct(equation):
        case Construct.WHILE:
            return [parameters["cond_jaxpr"], parameters["body_jaxpr"]]
        case Construct.COND:
            return list(parameters["branches"])
        case Construct.JIT | Construct.SCAN | Construct.REMAT:
            return [parameters["jaxpr"]]
        case Construct.CALL | Construct.CUSTOM_RULE:
            return [parameters["call_jaxpr"]]
    return list(core.jaxprs_in_params(parameters))


def opened(jaxpr: Any) -> tuple[Any, Sequence[Any]]:
    """A jaxpr, closed or open, and its constants (they are one type in jax 0.12)."""
    return getattr(jaxpr, "jaxpr", jaxpr), getattr(jaxpr, "consts", ())


def is_literal(atom: Any) -> bool:
    return isinstance(atom, core.Literal)


def rebind(equation: core.JaxprEqn, inputs: Sequence[Any]) -> list[Any]:
    """Runs one equation as it stands; returns its outputs."""
    parameters = equation.primitive.get_bind_params(equation.params)
    outputs = equation.primitive.bind(*inputs, **parameters)
    return list(outputs) if equation.primitive.multiple_results else [outputs]


@contextlib.contextmanager
def settings_of(equation: core.JaxprEqn) -> Iterator[None]:
    """The context in which the equation was traced: mesh, compute type, scope names."""
    scope = str(equation.source_info.name_stack)
    named = jax.named_scope(scope) if scope else contextlib.nullcontext()
    with equation.ctx.manager, named:
        yield


def split_scan(equation: core.JaxprEqn, inputs: Sequence[Any]) -> ScanInputs:
    constants, carry = _scan_counts(equation.params)
    return ScanInputs(
        constants=list(inputs[:constants]),
        carry=list(inputs[constants : constants + carry]),
        xs=list(inputs[constants + carry :]),
    )


def _scan_counts(parameters: dict[str, Any]) -> tuple[int, int]:
    if "num_consts" in parameters:
        return parameters["num_consts"], parameters["num_carry"]
    constants, carry, _ = parameters["ft_in"].unpack()  # jax 0.12
    return len(constants), len(carry)


def scan_settings(equation: core.JaxprEqn) -> dict[str, Any]:
    """The arguments of `jax.lax.scan` that say how the loop runs."""
    kept = ("length", "reverse", "unroll", "_split_transpose")
    return {key: equation.params[key] for key in kept if key in equation.params}


def split_while(equation: core.JaxprEqn, inputs: Sequence[Any]) -> tuple[list, ...]:
    """The constants of the condition, those of the body, and the carried values."""
    first = equation.params["cond_nconsts"]
    second = first + equation.params["body_nconsts"]
    return list(inputs[:first]), list(inputs[first:second]), list(inputs[second:])
