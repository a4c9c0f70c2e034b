"""`generate`: continue prompts token by token, under edits.

The prompts' keys and values are one block, those of the generated tokens another, as
long as there are steps and filled one by one. A step is `run_layers` on one token per
row, reading both; all steps are one compiled loop.
"""

import dataclasses
import functools
import numbers
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from mcq_jax.arguments import as_integer, as_integers, check_key, described
from mcq_jax.axes import AnyArray
from mcq_jax.interventions import Edit
from mcq_jax.interventions.lists import as_edits
from mcq_jax.model.blocks import Block
from mcq_jax.model.config import ModelConfig
from mcq_jax.model.inputs import as_lengths, as_tokens, check_model
from mcq_jax.model.parameters import Parameters
from mcq_jax.model.readers import check_readers, placed
from mcq_jax.model.run import run_embed, run_layers, run_unembed
from mcq_jax.model.validation import check_edit, check_inputs, check_places_once


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Generated:
    """What a model wrote behind its prompts."""

    # Padded with 0 behind each row's length.
    tokens: Int[Array, "row step"]
    # How many tokens each row wrote, the one that stopped it included.
    lengths: Int[Array, " row"]
    # What each token was chosen from, edits included; None if not kept. Meaningless
    # behind a row's length.
    logits: Float[Array, "row step vocabulary"] | None


def generate(
    parameters: Parameters,
    tokens: Int[AnyArray, "row position"] | Sequence[Sequence[int]],
    lengths: Int[AnyArray, " row"] | Sequence[int],
    *,
    config: ModelConfig,
    steps: int,
    edits: Edit | Sequence[Edit] = (),
    key: Array | None = None,
    temperature: float = 0.0,
    stop_ids: Sequence[int] = (),
    keep_logits: bool = False,
) -> Generated:
    """Continues right-padded prompts, greedily or by sampling, as `forward` would.

    Edits act as they do in `forward` on prompt and continuation together. One without
    positions acts on every token, generated ones too (steering). Positions count from
    the start of the row, so that the first generated token stands at its prompt's
    length, and may lie among the generated tokens. A weight or value with a position
    axis of its own ends with `tokens`: behind it, the edit does nothing. So do keys of
    scores and patterns.

    Args:
        steps: the most tokens a row writes.
        key: for sampling; a row's choices depend on its number, not on the others.
        temperature: of sampling; 0 takes the likeliest token.
        stop_ids: tokens that end a row; the loop ends when every row has.
    """
    check_model(parameters, config)
    edits, tokens = as_edits(edits), jnp.asarray(as_tokens(tokens))
    lengths, steps = as_lengths(lengths, len(tokens)), as_integer(steps, "steps")
    stop_ids = as_integers(stop_ids, "stop_ids")
    _check_prompts(tokens, lengths, steps, config)
    _check_choice(key, temperature, stop_ids, config)
    _check_edits(edits, tokens.shape, steps, config)
    choice = (None, None) if temperature == 0 else (key, jnp.float32(temperature))
    return _generate(
        parameters,
        tokens,
        lengths,
        edits,
        *choice,
        config=config,
        steps=steps,
        stop_ids=stop_ids,
        keep_logits=keep_logits,
    )


class _State(NamedTuple):
    """Between two steps."""

    step: Int[Array, ""]
    written: Generated
    is_done: Bool[Array, " row"]
    # Keys and values of generated tokens, one `[n, row, step, …]` per segment.
    blocks: tuple[Block, ...]


@functools.partial(
    jax.jit, static_argnames=("config", "steps", "stop_ids", "keep_logits")
)
def _generate(
    parameters: Parameters,
    tokens: Int[Array, "row position"],
    lengths: Int[Array, " row"],
    edits: tuple[Edit, ...],
    key: Array | None,
    temperature: Float[Array, ""] | None,
    *,
    config: ModelConfig,
    steps: int,
    stop_ids: tuple[int, ...],
    keep_logits: bool,
) -> Generated:
    stop = jnp.array(stop_ids, jnp.int32)
    columns = tokens.shape[1] + steps + 1  # keys that a step reads: both blocks, own

    def run(tokens, positions, edits, past):
        x, _ = run_embed(parameters.embed, tokens, positions, edits, config=config)
        return run_layers(
            parameters, x, positions, edits,
            config=config, keep_blocks=True, past=past,
        )  # fmt: skip

    def write(state, logits):
        chosen = _choose(logits, key, temperature, state.step)
        return _written(state, chosen, logits, stop)

    def step(state):
        last = state.written.tokens[:, state.step - 1]
        position = lengths + state.step - 1
        here = tuple(_at_token(edit, position, columns) for edit in edits)
        past = tuple(zip(prompts, state.blocks, strict=True))
        ran = run(last[:, None], position[:, None], here, past)
        logits, _ = run_unembed(
            parameters.unembedding, ran.residual, here, config=config
        )
        blocks = tuple(
            _appended(block, own, state.step)
            for block, own in zip(state.blocks, ran.blocks, strict=True)
        )
        return write(state._replace(blocks=blocks), logits[:, 0])

    positions = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
    ran = run(tokens, positions, edits, None)
    prompts = tuple(_of_lengths(block, lengths) for block in ran.blocks)
    final = jnp.take_along_axis(ran.residual, (lengths - 1)[:, None, None], axis=1)
    last = tuple(_at_token(edit, lengths - 1, columns) for edit in edits)
    logits, _ = run_unembed(parameters.unembedding, final, last, config=config)

    start = _State(
        step=jnp.int32(0),
        written=_nothing(tokens.shape[0], steps, config, keep_logits),
        is_done=jnp.zeros(tokens.shape[0], bool),
        blocks=tuple(_empty(block, lengths, steps) for block in ran.blocks),
    )
    state = jax.lax.while_loop(
        lambda state: (state.step < steps) & ~state.is_done.all(),
        step,
        write(start, logits[:, 0]),
    )
    return state.written


def _choose(
    logits: Float[Array, "row vocabulary"],
    key: Array | None,
    temperature: Float[Array, ""] | None,
    step: Int[Array, ""],
) -> Int[Array, " row"]:
    if key is None or temperature is None:
        return logits.argmax(-1).astype(jnp.int32)
    rows = jnp.arange(logits.shape[0])
    keys = jax.vmap(lambda row: jax.random.fold_in(jax.random.fold_in(key, row), step))
    choose = jax.vmap(jax.random.categorical)
    return choose(keys(rows), logits / temperature).astype(jnp.int32)


def _written(
    state: _State,
    chosen: Int[Array, " row"],
    logits: Float[Array, "row vocabulary"],
    stop: Int[Array, " stop"],
) -> _State:
    written, step = state.written, state.step
    chosen = jnp.where(state.is_done, 0, chosen)
    kept = written.logits
    generated = Generated(
        tokens=written.tokens.at[:, step].set(chosen),
        lengths=written.lengths + (~state.is_done).astype(jnp.int32),
        logits=None if kept is None else kept.at[:, step].set(logits),
    )
    is_done = state.is_done | (chosen[:, None] == stop[None]).any(-1)
    return state._replace(step=step + 1, written=generated, is_done=is_done)


def _nothing(rows: int, steps: int, config: ModelConfig, keep_logits: bool):
    logits = jnp.zeros((rows, steps, config.vocabulary)) if keep_logits else None
    return Generated(
        tokens=jnp.zeros((rows, steps), jnp.int32),
        lengths=jnp.zeros(rows, jnp.int32),
        logits=logits,
    )


def _of_lengths(block: Block, lengths: Int[Array, " row"]) -> Block:
    return block._replace(length=jnp.broadcast_to(lengths[None], block.length.shape))


def _empty(prompt: Block, lengths: Int[Array, " row"], steps: int) -> Block:
    """Room for the generated tokens' keys and values, behind the prompts."""
    layers, rows, _, *rest = prompt.keys.shape
    positions = lengths[:, None] + jnp.arange(steps)[None]
    room = jnp.zeros((layers, rows, steps, *rest), prompt.keys.dtype)
    return Block(
        keys=room,
        values=room,
        positions=jnp.broadcast_to(positions[None], (layers, rows, steps)),
        length=jnp.zeros((layers, rows), jnp.int32),
    )


def _appended(block: Block, own: Block, step: Int[Array, ""]) -> Block:
    return block._replace(
        keys=block.keys.at[:, :, step - 1].set(own.keys[:, :, 0]),
        values=block.values.at[:, :, step - 1].set(own.values[:, :, 0]),
        length=jnp.full_like(block.length, step),
    )


def _at_token(edit: Edit, position: Int[Array, " row"], columns: int) -> Edit:
    """An edit of whole rows as one for the token at `position` of each row."""
    if edit.readers is not None:
        return edit  # attention finds its positions in the blocks
    edit = _over_columns(edit, columns)
    axis = 2 + edit.site.position_axis
    if (
        edit.positions is None
        and edit.weight.shape[axis] == edit.value.shape[axis] == 1
    ):
        return edit
    rows = position.shape[0]
    positions = edit.positions
    if positions is not None:
        positions = jnp.broadcast_to(positions, (rows, positions.shape[1]))

    def at_row(positions, weight, value, position):
        row = dataclasses.replace(edit, positions=positions, weight=weight, value=value)
        there = placed(row, position[None])
        return there.weight, there.value

    in_axes = (None if positions is None else 0, 1, 1, 0)
    weight, value = jax.vmap(at_row, in_axes, out_axes=1)(
        positions, _for_rows(edit.weight, rows), _for_rows(edit.value, rows), position
    )
    return dataclasses.replace(edit, positions=None, weight=weight, value=value)


def _for_rows(array: Array, rows: int) -> Array:
    return jnp.broadcast_to(array, (array.shape[0], rows, *array.shape[2:]))


def _over_columns(edit: Edit, columns: int) -> Edit:
    """Gives weight 0 to the keys of scores and patterns behind the prompts."""

    def widened(array):
        if "key" not in edit.site.axes or array.shape[-1] == 1:
            return array
        behind = columns - array.shape[-1]
        return jnp.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, behind)])

    if edit.weight.shape[-1] == 1 < edit.value.shape[-1]:
        shape = (*edit.weight.shape[:-1], edit.value.shape[-1])
        weight = jnp.broadcast_to(edit.weight, shape)
    else:
        weight = edit.weight
    return dataclasses.replace(edit, weight=widened(weight), value=widened(edit.value))


def _check_prompts(tokens, lengths, steps: int, config: ModelConfig) -> None:
    check_inputs(tokens, (), (), config)
    if steps < 1:
        raise ValueError(f"{steps} steps; give at least 1.")
    if isinstance(lengths, jax.core.Tracer):
        return
    shortest, longest = int(lengths.min()), int(lengths.max())
    if not 1 <= shortest <= longest <= tokens.shape[1]:
        raise ValueError(
            f"lengths run from {shortest} to {longest} in rows of {tokens.shape[1]} "
            "tokens; a prompt has at least one token and no more than its row."
        )
    if longest + steps > config.context:
        raise ValueError(
            f"{longest} tokens and {steps} steps for a context of {config.context}; "
            "shorten the prompts or ask for fewer."
        )


def _check_choice(key, temperature: float, stop_ids, config: ModelConfig) -> None:
    if not isinstance(temperature, numbers.Real) or not temperature >= 0:
        raise ValueError(
            f"temperature is {described(temperature)}; give 0 (greedy) or more."
        )
    if temperature > 0 and key is None:
        raise ValueError(
            f"temperature is {temperature} without a key; give one (jax.random.key), "
            "or temperature 0."
        )
    if key is not None:
        check_key(key)
    bad = [token for token in stop_ids if not 0 <= token < config.vocabulary]
    if bad:
        raise ValueError(
            f"stop ids {bad}; the vocabulary has 0 to {config.vocabulary - 1}."
        )


def _check_edits(edits, shape: tuple[int, ...], steps: int, config) -> None:
    check_readers(edits, shape, config)
    last = shape[1] + steps - 1
    for edit in edits:
        check_places_once(edit)
        within = edit
        if edit.positions is not None:
            known = not isinstance(edit.positions, jax.core.Tracer)
            if known and np.asarray(edit.positions).max() > last:
                raise ValueError(
                    f"positions of an edit of {edit.site} reach "
                    f"{np.asarray(edit.positions).max()}; prompts and steps end at "
                    f"{last}."
                )
            clipped = jnp.minimum(edit.positions, shape[1] - 1)
            within = dataclasses.replace(edit, positions=clipped)
        check_edit(within, (shape[0], shape[1]), config)
