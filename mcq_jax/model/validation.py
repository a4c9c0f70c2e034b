"""Checks of a forward pass's inputs, before anything is computed."""

import jax
import jax.core
import numpy as np

from mcq_jax.interventions import Capture, Edit, Site
from mcq_jax.model.config import ModelConfig


def check_inputs(
    tokens, edits: tuple[Edit, ...], capture: tuple[Capture, ...], config: ModelConfig
) -> None:
    """Raises ValueError for what could only fail later, or silently."""
    if tokens.ndim != 2:
        raise ValueError(
            f"tokens have shape {tokens.shape}; give [row, position], right-padded."
        )
    if tokens.shape[1] > config.context:
        raise ValueError(
            f"sequences of {tokens.shape[1]} tokens for a context of "
            f"{config.context}; shorten the prompts."
        )
    _check_range("tokens", tokens, config.vocabulary, "the vocabulary")
    for edit in edits:
        what = f"an edit of {edit.site}"
        _check_site(what, edit.site, config)
        _check_positions(what, edit.positions, tokens.shape)
        _check_edit(edit, tokens.shape, config)
    _check_captures(capture, tokens.shape, config)


def _check_edit(edit: Edit, shape: tuple[int, int], config: ModelConfig) -> None:
    sizes = {
        "slot": edit.layers.shape[0],
        "row": shape[0],
        "position": shape[1] if edit.positions is None else edit.positions.shape[1],
        "key": shape[1],
        "kv_head": config.kv_heads,
        "group": config.group,
        "head_width": config.head_width,
        "width": config.width,
        "neuron": config.neurons,
        "vocabulary": config.vocabulary,
        "one": 1,
    }
    axes = ("slot", "row", *edit.site.axes)
    for name, array in (("weight", edit.weight), ("value", edit.value)):
        expected = tuple(sizes[axis] for axis in axes)
        fits = len(array.shape) == len(axes) and all(
            have in (1, want) for have, want in zip(array.shape, expected, strict=True)
        )
        if not fits:
            raise ValueError(
                f"{name} of an edit of {edit.site} has shape {array.shape}; its axes "
                f"{axes} have sizes {expected}, and each may also be 1."
            )
    layers = config.layers if edit.site.per_layer else 1
    what = f"layers of an edit of {edit.site}"
    _check_range(what, edit.layers, layers, "the model")
    _check_once(what, edit.layers)


def _check_site(what: str, site: Site, config: ModelConfig) -> None:
    if site is Site.MLP_GATE and not config.gated:
        raise ValueError(
            f"{what}, but this model's feed-forward blocks have no gate; its neurons "
            f"before the non-linearity are {Site.MLP_PRE}."
        )


def _check_positions(what: str, positions, shape: tuple[int, int]) -> None:
    if positions is None:
        return
    if positions.ndim != 2 or positions.shape[0] not in (1, shape[0]):
        raise ValueError(
            f"positions of {what} have shape {positions.shape}; give [row, selected] "
            f"with {shape[0]} rows, or 1 for all."
        )
    _check_range(f"positions of {what}", positions, shape[1], "the sequences")


def _check_captures(
    capture: tuple[Capture, ...], shape: tuple[int, int], config: ModelConfig
) -> None:
    sites = [wish.site for wish in capture]
    for site in set(sites):
        if sites.count(site) > 1:
            raise ValueError(
                f"{site} is captured {sites.count(site)} times; ask for it once, with "
                "all the layers and positions that are wanted."
            )
    for wish in capture:
        what = f"a capture of {wish.site}"
        _check_site(what, wish.site, config)
        _check_positions(what, wish.positions, shape)
        bad = [i for i in wish.layers or () if not 0 <= i < config.layers]
        if bad or wish.layers == ():
            raise ValueError(
                f"capture of {wish.site} in layers {wish.layers}; the model has layers "
                f"0 to {config.layers - 1}."
            )


def _check_once(what: str, layers) -> None:
    if isinstance(layers, jax.core.Tracer):
        return
    values = np.asarray(layers).tolist()
    if not values or len(set(values)) < len(values):
        raise ValueError(
            f"{what} are {values}; name at least one layer, and each only once."
        )


def _check_range(what: str, array, size: int, of: str) -> None:
    """Concrete values only: traced ones are the caller's to check."""
    if isinstance(array, jax.core.Tracer):
        return
    values = np.asarray(array)
    if values.size and not (0 <= values.min() and values.max() < size):
        raise ValueError(
            f"{what} run from {values.min()} to {values.max()}; {of} has 0 to "
            f"{size - 1}."
        )
