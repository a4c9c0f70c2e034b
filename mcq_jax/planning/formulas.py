"""What a chunk costs and takes by formula: beside what the compiler counts."""

import dataclasses

import jax

from mcq_jax import costs
from mcq_jax.costs.compiled import tree_bytes
from mcq_jax.planning.passes import Chunk, Passes, rows_by_call


def prompt_pass_flops(passes: Passes, prompts: int) -> float:
    """Returns the FLOPs of the prompts' own passes, over all chips."""
    config, tokens = passes.config, passes.tokens
    distances = config.layers * _distance_flops(passes)
    return prompts * costs.prefill_flops(config, tokens=tokens) + distances


def patching_flops(passes: Passes, chunk: Chunk) -> float:
    """Returns the FLOPs of rows that run from their births on, and not before."""
    one = costs.node_sweep_flops(
        passes.config, tokens=passes.tokens, sources=chunk.sources
    )
    return chunk.prompts * one


def staged_patching_flops(passes: Passes, chunk: Chunk) -> float:
    """Returns the FLOPs of rows that join in steps, some before they are born."""
    config = passes.config
    running = rows_by_call(passes.groups(chunk), config)
    per_row = chunk.prompts * chunk.sources
    layers = per_row * running.sum() * costs.layer_flops(config, keys=passes.tokens)
    answers = per_row * config.layers * config.nodes * costs.unembed_flops(config)
    return layers + answers + len(running) * _distance_flops(passes)


def chunk_bytes(passes: Passes, chunk: Chunk) -> float:
    """Returns about what a chunk takes of a chip, to begin a search with."""
    of_chunk = costs.chunk_bytes(
        passes.config,
        prompts=chunk.prompts,
        tokens=passes.tokens,
        rows=chunk.prompts * chunk.sources * chunk.rows,
        number_bytes=jax.numpy.dtype(passes.dtype).itemsize,
    )
    weights = tree_bytes(passes.parameters()) + _gathered_bytes(passes)
    return weights + of_chunk / passes.mesh.size


def _gathered_bytes(passes: Passes) -> float:
    """Two layers that are whole over "data", where weights are fully sharded."""
    if not passes.fully_sharded:
        return 0.0
    whole = dataclasses.replace(passes, fully_sharded=False).parameters()
    return 2 * tree_bytes(whole.layers) / passes.config.layers


def _distance_flops(passes: Passes) -> float:
    """The projection of relative positions in a layer, which every part makes."""
    config = passes.config
    if not config.relative_positions:
        return 0.0
    heads = config.heads * config.head_width
    return 2.0 * passes.mesh.shape["data"] * passes.tokens * config.width * heads
