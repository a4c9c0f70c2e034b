"""The passes of a sweep as abstract shapes on a mesh, compiled for costs and memory."""

import dataclasses
import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Int

from mcq_jax import passes, sharding, sweeps
from mcq_jax.costs.compiled import HostProgram, compile_all
from mcq_jax.model import ModelConfig, Parameters, parameter_shapes
from mcq_jax.passes import NodeSets, Plan
from mcq_jax.passes.row_groups import RowGroup, fullest, row_groups
from mcq_jax.sweeps.compiled_rows import compile_rows, of_sources

# Rows that a device unembeds at a time, and answers to read of each.
_UNEMBEDDED, _CHOICES = 256, 4


@dataclasses.dataclass(frozen=True)
class Chunk:
    """What is run together: so many rows at once of some prompts and their sources."""

    prompts: int
    sources: int
    rows: int

    @classmethod
    def parse(cls, text: str) -> "Chunk":
        """Reads "4x10x1300"."""
        sizes = text.split("x")
        if len(sizes) != 3 or not all(s.isdigit() and int(s) for s in sizes):
            raise ValueError(
                f"cannot read the chunk {text!r}; write prompts x sources x rows at "
                "once, as in 4x10x1300."
            )
        return cls(*map(int, sizes))

    def __str__(self) -> str:
        return f"{self.prompts} prompts x {self.sources} sources x {self.rows:,} rows"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Passes:
    """A model on a mesh of devices that need not exist."""

    config: ModelConfig
    mesh: Mesh
    tokens: int
    dtype: str = "bfloat16"
    fully_sharded: bool = False

    def parameters(self, *, stacked: bool = True) -> Parameters:
        """Shapes with shardings: all layers in one segment, or each in its own."""
        one = jax.tree.map(
            lambda s: jax.ShapeDtypeStruct(s.shape, jnp.dtype(self.dtype)),
            parameter_shapes(self.config),
        )
        layers, size = self.config.layers, self.config.layers if stacked else 1
        (layer,) = one.layers
        stack = jax.tree.map(
            lambda s: jax.ShapeDtypeStruct((size, *s.shape), s.dtype), layer
        )
        shapes = one._replace(layers=(stack,) * (layers // size))
        placed = sharding.parameter_shardings(
            shapes, self.mesh, fully_sharded=self.fully_sharded
        )
        return jax.tree.map(
            lambda s, to: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=to),
            shapes,
            placed,
        )

    def prefill(self, prompts: int, *, stacked: bool = True) -> HostProgram:
        """The pass over whole prompts; unstacked, every layer is costed by itself."""
        run = functools.partial(passes.prefill, config=self.config)
        tokens = jax.ShapeDtypeStruct((prompts, self.tokens), jnp.int32)
        lengths = jax.ShapeDtypeStruct((prompts,), jnp.int32)
        return self._compile(run, self.parameters(stacked=stacked), tokens, lengths)

    def resume(
        self, start: passes.Prefill, sources: int, *, rows: int | None = None
    ) -> HostProgram:
        """The prompts' patched rows, every node by itself, from every source.

        Args:
            start: of `prefill`, as shapes.
            rows: as many as advance in one call, and all from the first layer on: then
                there is one program to compile. None: as they really do.
        """
        plan = sweeps.every_node(self.config)
        copies = (start.answer_position.shape[0], sources)
        if rows is None:
            with sharding.use_mesh(self.mesh):
                groups = row_groups(plan, copies, self.config)
        else:
            plan, groups = one_call(plan, rows)
        return self._compile_groups(start, sources, plan, groups)

    def fullest(self, start: passes.Prefill, chunk: "Chunk") -> HostProgram:
        """That part of a chunk in which memory is fullest."""
        plan, group = fullest(sweeps.every_node(self.config), self.groups(chunk))
        return self._compile_groups(start, chunk.sources, plan, [group])

    def groups(self, chunk: "Chunk") -> Sequence[RowGroup]:
        """How the rows of a chunk advance."""
        with sharding.use_mesh(self.mesh):
            return row_groups(
                sweeps.every_node(self.config), (chunk.prompts, chunk.sources),
                self.config, rows_at_once=chunk.rows,
            )  # fmt: skip

    def _compile_groups(self, start, sources: int, plan, groups) -> HostProgram:
        held = {
            site: jax.ShapeDtypeStruct(
                (*nodes.shape[:2], 1, *nodes.shape[2:]), nodes.dtype
            )
            for site, nodes in start.nodes.items()
        }
        with sharding.use_mesh(self.mesh):
            return compile_rows(
                self.parameters(), start, of_sources(held, sources), plan, groups,
                config=self.config,
            )  # fmt: skip

    def read_answers(self, prompts: int) -> tuple[HostProgram, int]:
        """The unembedding of as many rows as are read at once, and how many they are.

        The loop over the others is left to the caller: a compiler's cost of a loop is
        that of going round once.
        """
        run = functools.partial(passes.read_answers, config=self.config)
        rows = max(1, _UNEMBEDDED * self.mesh.shape["data"] // prompts)
        final = jax.ShapeDtypeStruct(
            (prompts, rows, self.config.width), jnp.dtype(self.dtype)
        )
        ids = jax.ShapeDtypeStruct((prompts, _CHOICES), jnp.int32)
        program = self._compile(run, self.parameters().unembedding, final, ids)
        return program, prompts * rows

    def _compile(self, function, *arguments) -> HostProgram:
        """Arguments come ready: devices that are not here can compute nothing."""
        with sharding.use_mesh(self.mesh):
            return compile_all(function, *arguments)


def rows_by_call(
    groups: Sequence[RowGroup], config: ModelConfig
) -> Int[np.ndarray, " call"]:
    """Returns how many rows of a prompt and source each call of a layer advances."""
    sizes = [
        group.batch * len(call)
        for group in groups
        for layer in range(config.layers)
        for call in group.calls(layer)
    ]
    return np.array(sizes)


def one_call(plan: NodeSets, rows: int) -> tuple[Plan, Sequence[RowGroup]]:
    """Returns so many rows of a plan, born in the first layer, as a single batch."""
    chosen = np.arange(rows) % len(plan.births)
    group = RowGroup(suffix=1, rows=chosen, births=np.zeros(1, int), together=True)
    first, group = fullest(plan, [group])
    return first, [group]
