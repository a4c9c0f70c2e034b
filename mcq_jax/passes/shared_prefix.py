"""`Prefix`: tokens that all prompts begin with, such as worked examples, run once."""

import dataclasses
import os
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from mcq_jax.axes import AnyArray
from mcq_jax.model.blocks import Block
from mcq_jax.model.config import ModelConfig
from mcq_jax.model.parameters import Parameters
from mcq_jax.model.run import run_embed, run_layers
from mcq_jax.prompts import TokenisedPrompt

# Shorter ones are not worth programs of their own.
SHORTEST = 64


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Prefix:
    """What later tokens read of a prefix; all prompts share one copy."""

    tokens: Int[Array, " position"]
    # Keys and values, `[n, 1, key, …]` per segment.
    blocks: tuple[Block, ...]

    @property
    def length(self) -> int:
        """In tokens."""
        return self.blocks[0].keys.shape[2]


def run_prefix(
    parameters: Parameters, tokens: Int[AnyArray, " position"], *, config: ModelConfig
) -> Prefix:
    """Runs tokens that prompts begin with; give the result to `prefill`."""
    row = jnp.asarray(tokens)[None]
    positions = jnp.arange(row.shape[1])[None]
    x, _ = run_embed(parameters.embed, row, positions, config=config)
    run = run_layers(parameters, x, positions, config=config, keep_blocks=True)
    return Prefix(tokens=row[0], blocks=run.blocks)


def common_prefix(
    parameters: Parameters,
    asked: Sequence[TokenisedPrompt],
    *,
    config: ModelConfig,
    suffix: int = 1,
) -> Prefix | None:
    """Runs the tokens that all prompts begin with; None where these are only a few.

    Args:
        suffix: how many tokens at the end of every prompt stay its own.
    """
    rows = [prompt.ids.tolist() for prompt in asked]
    room = min(len(row) for row in rows) - suffix
    length = min(len(os.path.commonprefix(rows)), room)
    if length < SHORTEST:
        return None
    return run_prefix(parameters, asked[0].ids[:length], config=config)


def without_common_prefix(
    parameters: Parameters,
    asked: Sequence[TokenisedPrompt],
    *,
    config: ModelConfig,
    suffix: int,
) -> tuple[Prefix | None, Sequence[TokenisedPrompt]]:
    """Returns what `common_prefix` does, and the prompts behind it.

    Where there is none they are left as they were. Spans and labels, which count from a
    prompt's start, are dropped with the prefix.
    """
    prefix = common_prefix(parameters, asked, config=config, suffix=suffix)
    if prefix is None:
        return None, asked
    return prefix, [_behind(prompt, prefix.length) for prompt in asked]


def _behind(prompt: TokenisedPrompt, length: int) -> TokenisedPrompt:
    nowhere = np.full_like(prompt.label_positions, -1)
    ids = prompt.ids[length:]
    return dataclasses.replace(prompt, ids=ids, spans=(), label_positions=nowhere)
