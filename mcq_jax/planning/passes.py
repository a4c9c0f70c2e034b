"""The passes of a sweep as abstract shapes on a mesh, compiled for costs and memory."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Int

from mcq_jax import passes, sharding, sweeps
from mcq_jax.costs.compiled import HostProgram, compile_all
from mcq_jax.model import ModelConfig, Parameters, parameter_shapes
from mcq_jax.passes import NodeSets
from mcq_jax.passes.row_groups import STAGES

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
            rows: so many per prompt and source, which all run from the first layer on:
                then there is one program to compile. None: as they really join.
        """
        node_sets = sweeps.every_node(self.config)
        if rows is not None:
            masks = np.zeros((rows, *node_sets.masks.shape[1:]), bool)
            masks[:, 0, 0] = True
            node_sets = NodeSets(masks)

        def run(parameters, start, sources):
            return passes.resume(
                parameters,
                start,
                sources,
                node_sets,
                config=self.config,
                stages=STAGES,
            ).final

        values = jax.tree.map(lambda n: self._of_sources(n, sources), start.nodes)
        return self._compile(run, self.parameters(), start, values)

    def _of_sources(self, nodes, sources: int) -> jax.ShapeDtypeStruct:
        """What nodes write in every source of every prompt, as a sweep lays it."""
        layers, prompts, *rest = nodes.shape
        shape = (layers, prompts, sources, *rest)
        with sharding.use_mesh(self.mesh):
            return sharding.shape_over_data(shape, nodes.dtype, axes=(1, 2))

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


def rows_by_layer(
    config: ModelConfig, rows_at_once: int, *, steps: int = STAGES
) -> Int[np.ndarray, " pass"]:
    """Returns how many rows run whenever a layer does, as they join in steps.

    Every node is a row, and rows go in groups that begin with the layer of their first.
    """
    births = np.repeat(np.arange(config.layers), config.nodes)
    pieces = np.array_split(births, math.ceil(len(births) / rows_at_once))
    running = [_running(piece, config.layers, steps) for piece in pieces]
    return np.concatenate([some[some > 0] for some in running])


def _running(births, layers: int, steps: int):
    step = math.ceil(len(births) / steps)
    born = np.searchsorted(births, np.arange(layers), side="right")
    return np.minimum(-(-born // step) * step, len(births))
