"""What a row of a plan is inside one layer: the ordinary edits that it amounts to."""

import dataclasses
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from mcq_jax.interventions import Edit, Kind, Site
from mcq_jax.model.config import ModelConfig
from mcq_jax.passes.plans import NodeSets, Plan


class Here(NamedTuple):
    """Where a row is: its layer, and the tokens that it runs on."""

    layer: Int[Array, ""]
    # Of the prompt's last tokens; the keys before them are the prompt's own.
    positions: Int[Array, " suffix"]
    earlier_keys: int


class RowEdits(Protocol):
    """A static function from a row and its source to edits of one layer."""

    def __call__(
        self, row: Any, source: Any, here: Here, config: ModelConfig
    ) -> tuple[Edit, ...]: ...


def row_edits(plan: Plan) -> RowEdits:
    """Returns the function for a plan's rows; equal for plans of equal form."""
    return set_edits if isinstance(plan, NodeSets) else SiteEdits(plan.site)


def rows_at(plan: Plan, layer: int) -> Any:
    """Returns a plan's rows in a layer as arrays `[#prompt, #source, row, …]`."""
    if isinstance(plan, NodeSets):
        return plan.masks[None, None, :, layer]
    offsets, sources = plan.offsets[:, None], plan.source_offsets
    return PatchRows(
        layers=plan.layers[None, None],
        offsets=offsets,
        source_offsets=offsets if sources is None else sources,
        units=None if plan.units is None else plan.units[None, None],
    )


def set_edits(row, source, here: Here, config: ModelConfig) -> tuple[Edit, ...]:
    """The nodes of a mask: heads, and the feed-forward block."""
    heads = row[: config.heads].reshape(1, 1, config.kv_heads, config.group, 1)
    block = row[None, None, config.heads :]
    return (
        _interpolate(Site.Z, source.z[None, None], heads, here.layer[None]),
        _interpolate(Site.MLP_OUT, source.mlp[None, None], block, here.layer[None]),
    )


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PatchRows:
    """`Patches` as arrays; offsets count from the end of what is kept of a prompt."""

    layers: Int[np.ndarray, "1 1 row"]
    offsets: Int[np.ndarray, "#prompt 1 row selected"]
    source_offsets: Int[np.ndarray, "#prompt #source row selected"]
    units: Int[np.ndarray, "1 1 row selected"] | None


@dataclasses.dataclass(frozen=True)
class SiteEdits:
    """The patch of one site at a row's positions, heads or neurons."""

    site: Site

    def __call__(self, row, source, here: Here, config: ModelConfig):
        axis = self.site.position_axis
        value = jnp.take(source, row.source_offsets + source.shape[axis], axis=axis)
        if self.site is Site.PATTERN:
            value = _as_keys_stand(value, here)
        edit = _interpolate(self.site, value[None], None, row.layers[None])
        units = None if row.units is None else row.units[None]
        positions = row.offsets + len(here.positions)
        return (dataclasses.replace(edit, positions=positions, units=units),)


def _interpolate(site: Site, value, weight, layers) -> Edit:
    """An edit without rows, as a layer sees it."""
    weight = jnp.ones((1,) * value.ndim) if weight is None else weight
    return Edit(
        site=site,
        kind=Kind.INTERPOLATE,
        layers=layers,
        positions=None,
        weight=weight.astype(value.dtype),
        value=value,
    )


def _as_keys_stand(pattern, here: Here):
    """A pattern `[…, key]` over a padded prompt, as the keys of a resumed row stand.

    These are the prompt's first keys, of which those in the suffix are masked, and then
    the suffix's own.
    """
    first = here.positions[0]
    is_earlier = jnp.arange(here.earlier_keys) < first
    earlier = jnp.where(is_earlier, pattern[..., : here.earlier_keys], 0)
    own = jax.lax.dynamic_slice_in_dim(
        pattern, first, len(here.positions), axis=pattern.ndim - 1
    )
    return jnp.concatenate([earlier, own], axis=-1)
