"""From what people write to what a forward pass takes, or a sentence on why not."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Array

from mcq_jax.interventions import Capture, Edit, Site
from mcq_jax.model.parameters import Parameters

# A site, any of its names (which may hold a layer), or a selection of it.
Wish = Capture | Site | str


def as_tokens(tokens: Any) -> Array | np.ndarray:
    """Returns token ids `[row, position]` as an array; lists of equal rows will do."""
    if isinstance(tokens, str) or (
        isinstance(tokens, list | tuple) and any(isinstance(t, str) for t in tokens)
    ):
        raise ValueError(
            "tokens are text; give ids [row, position], such as "
            "jnp.array([tokenizer.encode(text).ids])."
        )
    if isinstance(tokens, list | tuple):
        try:
            return np.asarray(tokens)
        except ValueError as error:  # rows of different length
            raise ValueError(
                "tokens are rows of different length; pad them on the right to an "
                "array [row, position]."
            ) from error
    if not hasattr(tokens, "ndim"):
        raise ValueError(
            f"tokens are a {type(tokens).__name__}; give ids [row, position]."
        )
    return tokens


def as_edits(edits: Any) -> tuple[Edit, ...]:
    """Returns edits as a tuple; one alone needs no list around it."""
    if isinstance(edits, Edit):
        return (edits,)
    if isinstance(edits, str) or not hasattr(edits, "__iter__"):
        raise ValueError(f"{edits!r} as edits; give a list of Edits, or one.")
    return tuple(edits)


def as_captures(capture: Wish | Sequence[Wish]) -> tuple[Capture, ...]:
    """Returns captures from sites, their names, or captures; one or several."""
    if isinstance(capture, Capture | Site | str):
        capture = (capture,)
    if not hasattr(capture, "__iter__"):
        raise ValueError(f"{capture!r} as a capture; give Sites, names, or Captures.")
    return tuple(
        wish if not isinstance(wish, Site | str) else Capture.of(wish)
        for wish in capture
    )


def check_parameters(parameters: Any) -> None:
    """Raises ValueError for what are no parameters, a whole checkpoint for example."""
    if isinstance(parameters, Parameters):
        return
    inner = getattr(parameters, "parameters", None)
    hint = ""
    if isinstance(inner, Parameters):
        hint = "; give its `.parameters` (and `config=` its `.config`)"
    elif isinstance(parameters, dict) or jax.tree.leaves(parameters) == [parameters]:
        hint = "; `load(path).parameters` and `initialise(config, key)` return them"
    raise ValueError(f"a {type(parameters).__name__} as parameters{hint}.")
