"""`compile_rows`: the patched rows of a chunk as programs, compiled and not run."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from mcq_jax import sharding
from mcq_jax.costs.compiled import HostProgram, compile_all
from mcq_jax.interventions import Capture, Site
from mcq_jax.model import ModelConfig, Parameters
from mcq_jax.passes.plan import Plan
from mcq_jax.passes.prompt_pass import Prefill
from mcq_jax.passes.resumed_pass import Resumed, run_groups
from mcq_jax.passes.row_groups import RowGroup


def compile_rows(
    parameters: Parameters,
    start: Prefill,
    held: Mapping[Site, jax.ShapeDtypeStruct],
    plan: Plan,
    groups: Sequence[RowGroup],
    *,
    config: ModelConfig,
    capture: Sequence[Capture] = (),
    then: Callable[[Parameters, Resumed], Any] = lambda _, resumed: resumed.final,
) -> HostProgram:
    """Compiles `run_groups` for shapes, and runs nothing.

    The most memory is taken by the largest group with all its rows born first
    (`row_groups.fullest`).

    Args:
        parameters: this and `start` are trees of `jax.ShapeDtypeStruct`.
        start: the prompts' pass, all of which stays in memory.
        held: of every prompt's sources (`of_sources`).
        then: what is made of the rows while they are in memory.
    """

    def run(parameters, start, held):
        resumed = run_groups(
            parameters, start, held, plan, groups, config=config, capture=capture
        )
        return then(parameters, resumed)

    return compile_all(run, parameters, start, held)


def of_sources(
    held: Mapping[Site, jax.ShapeDtypeStruct], sources: int
) -> dict[Site, jax.ShapeDtypeStruct]:
    """Returns what so many sources of every prompt hold, as a sweep lays it.

    Args:
        held: by each prompt as a source, `[layer, prompt, suffix, …]`.
    """

    def of_each(shape: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        layers, prompts, *rest = shape.shape
        return sharding.shape_over_data(
            (layers, prompts, sources, *rest), shape.dtype, axes=(1, 2)
        )

    return {site: of_each(shape) for site, shape in held.items()}
