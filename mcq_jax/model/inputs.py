"""From what people write to what a model takes, or a sentence on why not."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from mcq_jax.arguments import as_whole_numbers, check_kind, described
from mcq_jax.model.config import check_config
from mcq_jax.model.parameters import Parameters


def as_tokens(tokens: Any) -> Int[Array | np.ndarray, "row position"]:
    """Returns token ids as an array; lists of equal rows will do."""
    if isinstance(tokens, str) or (
        isinstance(tokens, list | tuple) and any(isinstance(t, str) for t in tokens)
    ):
        raise ValueError(
            "tokens are text; give ids [row, position], such as "
            "jnp.array([tokenizer.encode(text).ids])."
        )
    if isinstance(tokens, list | tuple):
        try:
            tokens = np.asarray(tokens)
        except ValueError as error:
            raise ValueError(
                "tokens are rows of different length; pad them on the right to an "
                "array [row, position]."
            ) from error
    if not hasattr(tokens, "ndim"):
        raise ValueError(f"{described(tokens)} as tokens; give ids [row, position].")
    if tokens.ndim != 2 or not math.prod(tokens.shape):
        raise ValueError(
            f"tokens have shape {tokens.shape}; give [row, position], right-padded, "
            "with at least one row and one token."
        )
    if not jnp.issubdtype(tokens.dtype, jnp.integer):
        raise ValueError(f"tokens have type {tokens.dtype}; give whole numbers.")
    return tokens


def as_lengths(lengths: Any, rows: int) -> Int[Array, " row"]:
    """Returns the number of tokens of each row."""
    array = as_whole_numbers(lengths, "lengths")
    if array.shape != (rows,):
        raise ValueError(
            f"lengths have shape {array.shape} for {rows} rows of tokens; give one per "
            "row."
        )
    return array


def check_model(parameters: Any, config: Any) -> None:
    """Raises ValueError for what is no model: a checkpoint, or halves of two models."""
    check_config(config)
    advice = "`load(path).parameters` and `initialise(config, key)` return them"
    check_kind(parameters, Parameters, "parameters", advice)
    table = parameters.embed["~"]["table"].shape
    layers = sum(jax.tree.leaves(group)[0].shape[0] for group in parameters.layers)
    if (layers, *table) != (config.layers, config.vocabulary, config.width):
        raise ValueError(
            f"parameters of {layers} layers, {table[0]} tokens and width {table[1]} "
            f"with a config of {config.layers} layers, {config.vocabulary} tokens and "
            f"width {config.width}; give both of one checkpoint."
        )
