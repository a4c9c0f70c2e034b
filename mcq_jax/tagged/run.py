"""The front door: list the named values of a function, or run it with interventions.

`run` is pure and traceable. Under `jax.jit` it is one program in which edits are
arguments; without it, equations run one by one, as the plain function would.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from mcq_jax.tagged import matching, program, visits
from mcq_jax.tagged.edits import TagCapture, TagEdit, index_array
from mcq_jax.tagged.sites import TaggedSite, find_sites

_TRACED = (jax.Array, np.ndarray, np.generic, jax.ShapeDtypeStruct)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class TaggedRun:
    """What a run gives: the function's own output, and the captures by name.

    A capture in a loop is `[layer, *shape]`, for the layers asked for. What was not
    computed (a branch not taken, a step past the end of a while) is zero in `captured`
    and False in `reached`.
    """

    output: Any
    captured: dict[str, Array]
    reached: dict[str, Array]  # [layer], or one flag outside of loops


def sites(function: Callable, *args: Any) -> tuple[TaggedSite, ...]:
    """Returns the values that `function` names when called with `args`.

    Nothing is computed: arrays may also be given as `jax.ShapeDtypeStruct`. Print the
    table with `describe`.
    """
    return _trace(function, args).sites


def run(
    function: Callable,
    *args: Any,
    edits: Sequence[TagEdit] = (),
    capture: Sequence[str | TagCapture] = (),
    max_steps: int | None = None,
) -> TaggedRun:
    """Calls `function` with edits at its named values, and keeps those asked for.

    Bind keyword and static arguments with `functools.partial`; arguments that are not
    arrays (flags, functions inside of a model) stay as they are. Wrap the call in
    `jax.jit` for speed, with the edits among the arguments.

    Args:
        max_steps: the iterations of each `while` loop that are told apart: its captures
            get an axis of that size. Without it they hold the last iteration.
    """
    edits, captures = tuple(edits), _as_captures(capture)
    traced = _trace(function, args)
    plan = matching.make_plan(traced.sites, edits, captures, max_steps)
    context = visits.Context(edits=edits, captures=captures, max_steps=max_steps)
    buffers = {}
    for number, wish in enumerate(captures):
        site = matching.site_called(wish.name, traced.sites)
        layers = site.layers(max_steps)
        buffers[number] = visits.empty_buffer(wish, site.shape, site.dtype, layers)
    outputs, buffers = program.evaluate(
        traced.jaxpr, plan, context, buffers, traced.inputs
    )
    return TaggedRun(
        output=traced.rebuild(outputs),
        captured={w.name: buffers[n].values for n, w in enumerate(captures)},
        reached={w.name: buffers[n].reached for n, w in enumerate(captures)},
    )


def check(
    function: Callable,
    *args: Any,
    edits: Sequence[TagEdit] = (),
    capture: Sequence[str | TagCapture] = (),
    max_steps: int | None = None,
) -> None:
    """Raises on edits and captures that `run` would refuse, or could not do well.

    Under `jit` numbers are not known, so `run` cannot see a layer out of range or a
    source that is not finite; call this once before, on the same arguments.
    """
    edits = tuple(edits)
    found = sites(function, *args)
    matching.make_plan(found, edits, _as_captures(capture), max_steps)
    for edit in edits:
        with jax.numpy_rank_promotion("allow"):  # slots in one of the two only
            is_bad = (edit.weight != 0) & ~jnp.isfinite(edit.value)
        if is_bad.any():
            raise ValueError(
                f"an edit of {edit.name!r} has a value that is not finite where its "
                "weight is not 0; mend the source or set the weight there to 0."
            )


def _as_captures(wishes: Sequence[str | TagCapture]) -> tuple[TagCapture, ...]:
    if isinstance(wishes, str):
        raise ValueError(f"capture is the word {wishes!r}; give a list: [{wishes!r}].")
    return tuple(map(_as_capture, wishes))


def _as_capture(wish: str | TagCapture) -> TagCapture:
    if isinstance(wish, str):
        return TagCapture(name=wish)
    if wish.indices is None:
        return wish
    indices = index_array(wish.indices, f"indices of a capture of {wish.name!r}")
    return dataclasses.replace(wish, indices=indices)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Traced:
    """A function's jaxpr for given arguments, and the way back to its output."""

    jaxpr: Any
    inputs: list[Any]
    sites: tuple[TaggedSite, ...]
    rebuild: Callable[[Sequence[Any]], Any]


def _trace(function: Callable, args: tuple) -> _Traced:
    leaves, tree = jax.tree.flatten(args)
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, _TRACED)]
    shape_of_output = {}

    def of_arrays(*arrays):
        filled = list(leaves)
        for place, array in zip(places, arrays, strict=True):
            filled[place] = array
        outputs, out_tree = jax.tree.flatten(
            function(*jax.tree.unflatten(tree, filled))
        )
        is_array = [isinstance(output, jax.Array) for output in outputs]
        shape_of_output.update(leaves=outputs, tree=out_tree, is_array=is_array)
        return [output for output in outputs if isinstance(output, jax.Array)]

    inputs = [leaves[place] for place in places]
    jaxpr = jax.make_jaxpr(of_arrays)(*inputs)

    def rebuild(arrays):
        found, is_array = shape_of_output["leaves"], shape_of_output["is_array"]
        remaining = iter(arrays)
        filled = [
            next(remaining) if flag else leaf
            for leaf, flag in zip(found, is_array, strict=True)
        ]
        return jax.tree.unflatten(shape_of_output["tree"], filled)

    return _Traced(jaxpr=jaxpr, inputs=inputs, sites=find_sites(jaxpr), rebuild=rebuild)
