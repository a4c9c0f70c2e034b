"""`run_tree`: prompts level by level; what some of them begin with is run once.

Rows of a level read the keys and values of the rows that they continue. What is kept
of the last level can be put in the order of a plain pass: then nothing tells that
beginnings were shared, and whatever reads it counts from a prompt's start.
"""

import dataclasses
import functools
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from mcq_jax.interventions import Capture
from mcq_jax.model import work
from mcq_jax.model.blocks import Block
from mcq_jax.model.config import ModelConfig
from mcq_jax.model.parameters import Parameters
from mcq_jax.model.run import LayersRun, run_embed, run_layers
from mcq_jax.passes.prefix_tree import Level
from mcq_jax.passes.shared_prefix import Prefix

# A level's keys and values per segment, and the row of it that each prompt continues.
Above = tuple[tuple[Block, ...], Int[np.ndarray, " prompt"]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TreeRun:
    """The last level's rows, the prompts, after all levels were run."""

    # What the layers began with.
    embedded: Float[Array, "prompt token width"]
    layers: LayersRun
    levels: tuple[Level, ...]
    above: tuple[Above, ...]
    before_all: int

    def blocks(self, width: int) -> tuple[Block, ...]:
        """Returns keys and values as if prompts of `width` tokens had been run whole.

        Those of a prefix that all share are left out, as in a plain pass.
        """
        if not self.above:
            return self.layers.blocks
        columns, _ = self._columns(width)
        return tuple(
            _joined(
                tuple((blocks[segment], of) for blocks, of in self.above),
                own, columns, np.int32(self.before_all),
            )
            for segment, own in enumerate(self.layers.blocks)
        )  # fmt: skip

    def by_key(self, array: Array, width: int, unseen: float) -> Array:
        """Returns `[layer, prompt, …, key]` with keys in the order of a plain pass."""
        if not self.above:
            return array
        columns, is_token = self._columns(width)
        return _by_key(array, columns, is_token, unseen, before_all=self.before_all)

    def _columns(
        self, width: int
    ) -> tuple[Int[np.ndarray, "prompt key"], Bool[np.ndarray, "prompt key"]]:
        """Where each position of a prompt lies in all levels side by side."""
        position = np.arange(width)[None]
        columns, offset = np.zeros((len(self.levels[-1].lengths), width), np.int32), 0
        rows_of = [of for _, of in self.above] + [np.arange(len(columns))]
        for level, of in zip(self.levels, rows_of, strict=True):
            behind = position - level.starts[of, None]
            columns = np.where(behind >= 0, offset + behind, columns)
            offset += level.tokens.shape[1]
        last = self.levels[-1]
        is_token = position < (last.starts + np.asarray(last.lengths))[:, None]
        return np.minimum(columns, offset - 1).astype(np.int32), is_token


def run_tree(
    parameters: Parameters,
    levels: Sequence[Level],
    *,
    config: ModelConfig,
    capture: Sequence[Capture] = (),
    keep_blocks: bool = False,
    prefix: Prefix | None = None,
    activations: jnp.dtype | None = None,
) -> TreeRun:
    """Runs the levels one after another.

    Args:
        capture: of the last level; positions count from its rows' first tokens.
        keep_blocks: whether to keep the last level's keys and values.
        prefix: what comes before all prompts and was run already.
        activations: type of everything that flows between weights, if not theirs.
    """
    above: list[Above] = []
    for level in levels[:-1]:
        _, run, above = _run_level(
            parameters, level, above, prefix, activations, config, keep_blocks=True
        )
        lengths = np.asarray(level.lengths, np.int32)
        blocks = tuple(_with_lengths(block, lengths) for block in run.blocks)
        above.append((blocks, np.arange(len(lengths))))
    embedded, run, above = _run_level(
        parameters, levels[-1], above, prefix, activations, config,
        capture=capture, keep_blocks=keep_blocks,
    )  # fmt: skip
    last = levels[-1]
    tokens = _length(prefix) + float(last.starts.mean()) + last.tokens.shape[1]
    work.note_full_passes(
        embedded, rows=len(last.starts), tokens=tokens, layers=config.layers
    )
    return TreeRun(
        embedded=embedded,
        layers=run,
        levels=tuple(levels),
        above=tuple(above),
        before_all=_length(prefix),
    )


def _run_level(
    parameters, level: Level, above, prefix, activations, config, **kept
) -> tuple[Array, LayersRun, list[Above]]:
    """What goes into the layers and comes out, and the levels above as its rows see."""
    above = [(blocks, of[level.parents]) for blocks, of in above]
    tokens = jnp.asarray(level.tokens)
    starts = jnp.asarray(_length(prefix) + level.starts)[:, None]
    positions = starts + jnp.arange(tokens.shape[1])[None]
    x, _ = run_embed(parameters.embed, tokens, positions, config=config)
    x = x.astype(activations or x.dtype)
    past = _pasts(prefix, above, len(parameters.layers))
    run = run_layers(parameters, x, positions, config=config, past=past, **kept)
    return x, run, above


def _length(prefix: Prefix | None) -> int:
    return 0 if prefix is None else prefix.length


def _pasts(
    prefix: Prefix | None, above: Sequence[Above], segments: int
) -> Iterator[tuple[Block, ...]]:
    """Per segment what its rows read; a generator, to hold one segment's at a time."""
    for segment in range(segments):
        shared = () if prefix is None else (prefix.blocks[segment],)
        yield (*shared, *(_rows_of(blocks[segment], of) for blocks, of in above))


def _rows_of(block: Block, of: Int[np.ndarray, " row"]) -> Block:
    """The rows that are continued; all rows share one copy if it is the same one."""
    return _taken(block, of[:1] if (of == of[0]).all() else of)


@jax.jit
def _taken(block: Block, of: Int[Array, " row"]) -> Block:
    return jax.tree.map(lambda a: a[:, of], block)


@jax.jit
def _with_lengths(block: Block, lengths: Int[Array, " row"]) -> Block:
    return block._replace(length=jnp.broadcast_to(lengths, block.keys.shape[:2]))


@jax.jit
def _joined(above, own: Block, columns, before_all) -> Block:
    """One block of all levels' keys and values, each at its position."""

    def join(name: str) -> Array:
        parts = [getattr(block, name)[:, of] for block, of in above]
        whole = jnp.concatenate([*parts, getattr(own, name)], axis=2)
        return jnp.take_along_axis(whole, columns[None, :, :, None, None], axis=2)

    shape = (len(own.keys), *columns.shape)
    positions = before_all + jnp.arange(columns.shape[1])
    return Block(
        keys=join("keys"),
        values=join("values"),
        positions=jnp.broadcast_to(positions, shape),
        length=jnp.full(shape[:2], columns.shape[1], jnp.int32),
    )


@functools.partial(jax.jit, static_argnames="before_all")
def _by_key(array, columns, is_token, unseen, *, before_all: int) -> Array:
    shape = (1, len(columns), *(1,) * (array.ndim - 3), -1)
    shared, levels = array[..., :before_all], array[..., before_all:]
    picked = jnp.take_along_axis(levels, columns.reshape(shape), axis=-1)
    picked = jnp.where(is_token.reshape(shape), picked, unseen)
    return jnp.concatenate([shared, picked], axis=-1)
