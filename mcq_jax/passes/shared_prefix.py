"""`Prefix`: tokens that all prompts begin with, such as worked examples, run once."""

import dataclasses
import os
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

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
    return Prefix(run.blocks)


def without_common_prefix(
    parameters: Parameters,
    asked: Sequence[TokenisedPrompt],
    *,
    config: ModelConfig,
    suffix: int,
) -> tuple[Prefix | None, Sequence[TokenisedPrompt]]:
    """Runs the tokens that all prompts begin with, and returns the prompts behind them.

    A few tokens are left where they are: (None, the prompts as they were). Spans and
    labels, which count from a prompt's start, are dropped with the prefix.

    Args:
        suffix: how many tokens at the end of every prompt stay its own.
    """
    rows = [prompt.ids.tolist() for prompt in asked]
    room = min(len(row) for row in rows) - suffix
    length = min(len(os.path.commonprefix(rows)), room)
    if length < SHORTEST:
        return None, asked
    prefix = run_prefix(parameters, asked[0].ids[:length], config=config)
    return prefix, [_behind(prompt, length) for prompt in asked]


def _behind(prompt: TokenisedPrompt, length: int) -> TokenisedPrompt:
    nowhere = np.full_like(prompt.label_positions, -1)
    ids = prompt.ids[length:]
    return dataclasses.replace(prompt, ids=ids, spans=(), label_positions=nowhere)
