"""The same changes and looks as a user writes them for `mcq_jax`."""

import pathlib
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from mcq_jax import model
from mcq_jax.interventions import (
    Capture,
    Dictionary,
    Edit,
    Site,
    add,
    apply,
    load_edits,
    mean_ablate,
    patch,
    project_onto,
    project_out,
    resample_ablate,
    save_edits,
    scale,
    scale_features,
    set_features,
    zero_ablate,
)
from tests.fuzz.changes import AXES, Change, Look


def squash(x):
    """A user's own function."""
    return jnp.tanh(x)


def reverse(x):
    """A user's own function of all the positions that are selected."""
    return x[::-1]


def edit_of(change: Change, clean: dict[Site, Any]) -> Edit:
    """Returns the edit.

    Args:
        clean: captures of the unchanged run, where the change takes from them.
    """
    site, where = Site.parse(change.site)[0], _where(change)
    if change.kind in ("mean", "resample"):
        activation = _as_selected(change, clean[site], site)
        if change.kind == "mean":
            edit = mean_ablate(site, activation, **where)
        else:
            assert change.from_rows is not None
            edit = resample_ablate(site, activation, change.from_rows, **where)
    elif change.kind == "patch":
        is_zero = np.ndim(change.value) == 0 and change.value == 0
        edit = (
            zero_ablate(site, **where)
            if is_zero
            else patch(site, change.value, **where)
        )
    elif change.kind == "add":
        edit = add(site, change.value, **where)
    elif change.kind == "scale":
        edit = scale(site, change.value, **where)
    elif change.kind in ("project_onto", "project_out"):
        assert change.basis is not None
        make = project_onto if change.kind == "project_onto" else project_out
        edit = make(site, change.basis, center=change.center, **where)
    elif change.kind in ("set_features", "scale_features"):
        make = set_features if change.kind == "set_features" else scale_features
        names = ("encoder", "decoder", "encoder_bias", "decoder_bias", "threshold")
        given = {name: jnp.asarray(change.features[name], float) for name in names}
        dictionary = Dictionary(**given)
        chosen, number = change.features["chosen"], change.features["number"]
        edit = make(site, dictionary, chosen, number, **where)
    else:
        edit = apply(site, squash if change.kind == "tanh" else reverse, **where)
    return edit if change.readers is None else model.read_by(edit, change.readers)


def _where(change: Change) -> dict[str, Any]:
    where: dict[str, Any] = {"weight": change.weight}
    if change.layers is not None:
        where["layers"] = list(change.layers)
    if change.positions is not None:
        where["positions"] = change.positions
    if change.units is not None:
        name = "neurons" if "neuron" in AXES[change.site] else "heads"
        where[name] = change.units
    if change.keys is not None:
        where["keys"] = change.keys
    return where


def _as_selected(change: Change, activation, site: Site):
    """A capture of everything, as a source for the layers and positions selected."""
    activation = np.asarray(activation)
    if site.per_layer and change.layers is not None:
        activation = activation[list(change.layers)]
    if change.positions is not None:
        assert len(change.positions) == 1
        axis = (2 if site.per_layer else 1) + site.position_axis
        activation = np.take(activation, change.positions[0], axis=axis)
    return activation


def capture_of(look: Look) -> Capture:
    return Capture.of(
        look.site,
        layers=look.layers,
        positions=look.positions,
        keys=look.keys,
        **{"neurons" if "neuron" in AXES[look.site] else "heads": look.units},
    )


def clean_captures(found: Any, tokens, changes: Sequence[Change]) -> dict[Site, Any]:
    """Returns what the unchanged run holds where changes take from it."""
    names = {c.site for c in changes if c.kind in ("mean", "resample")}
    if not names:
        return {}
    return model.forward(
        found.parameters, tokens, config=found.config, capture=sorted(names)
    ).activations


def through_a_file(edits: Sequence[Edit], folder: pathlib.Path) -> tuple[Edit, ...]:
    """Returns edits as they come back from a file."""
    path = folder / "edits.safetensors"
    save_edits(path, edits)
    return load_edits(path, functions=(squash, reverse)).edits
