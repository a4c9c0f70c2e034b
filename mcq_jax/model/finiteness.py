"""Where a forward pass first stops being finite: in which layer, at which site.

Functions of arrays cannot raise errors about their values. Who finds NaN in what they
return asks here, which runs the layers one by one and looks at every site.
"""

import dataclasses
import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from mcq_jax import axes, sharding
from mcq_jax.interventions import Capture, Site
from mcq_jax.model.config import ModelConfig
from mcq_jax.model.inputs import as_tokens, check_model
from mcq_jax.model.parameters import Parameters
from mcq_jax.model.presence import sites_of
from mcq_jax.model.run import run_embed, run_layers, run_unembed


@dataclasses.dataclass(frozen=True)
class NotFinite:
    """The first number of a forward pass that is NaN or infinite; `str` says it."""

    site: Site
    # None for a site without a layer.
    layer: int | None
    row: int
    position: int
    # The element type of the residual stream.
    dtype: str

    def __str__(self) -> str:
        of_layer = "" if self.layer is None else f" of layer {self.layer}"
        largest = float(jnp.finfo(self.dtype).max)
        if largest < 1e5:
            advice = "load the model with dtype='float32' or 'bfloat16'"
        else:
            advice = (
                "the weights may be damaged or not fit the config: fetch them again"
            )
        return (
            f"The model's numbers are NaN or infinite from {self.site.label}{of_layer} "
            f"on (first in row {self.row}, at token {self.position}). They are "
            f"{self.dtype}, which ends at {largest:.3g}; {advice}."
        )


def first_nonfinite(
    parameters: Parameters, tokens: axes.Tokens, *, config: ModelConfig
) -> NotFinite | None:
    """Returns where a forward pass first holds NaN or infinity, or None if nowhere.

    Layers run one by one: the activations of one are in memory at a time.
    """
    check_model(parameters, config)
    tokens = as_tokens(tokens)
    for layer, dtype, activations in _in_order(parameters, tokens, config):
        for site, activation in activations.items():
            found = _not_finite(activation, axis=1 + site.position_axis)
            bad = np.argwhere(sharding.on_every_host(found))
            if len(bad):
                row, position = bad[0].tolist()
                return NotFinite(site, layer, row, position, dtype)
    return None


def _in_order(
    parameters: Parameters, tokens: axes.Tokens, config: ModelConfig
) -> Iterator[tuple[int | None, str, dict[Site, Array]]]:
    """Yields layer, dtype and activations `[row, *site axes]`, in forward order."""
    # Scores are -inf where keys are out of sight. Heads' own writes are not there
    # unless they are asked for, and show in their sum.
    looked_at = set(sites_of(config)) - {Site.SCORES, Site.HEAD_OUT}
    sites = [site for site in sites_of(config) if site in looked_at]
    wishes = tuple(Capture(site=site) for site in sites)
    tokens = jnp.asarray(tokens)
    positions = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)

    def of(kept) -> dict[Site, Array]:
        pairs = zip(sites, kept, strict=True)
        return {site: array for site, array in pairs if array is not None}

    x, kept = run_embed(parameters.embed, tokens, positions, (), wishes, config=config)
    dtype = str(x.dtype)
    yield None, dtype, of(kept)
    for layer in range(config.layers):
        ran = run_layers(
            parameters.of_layer(layer), x, positions,
            config=config, capture=wishes, first_layer=layer,
        )  # fmt: skip
        x = ran.residual
        kept = [None if a is None else a[0] for a in ran.captured]
        yield layer, dtype, of(kept)
    _, kept = run_unembed(parameters.unembedding, x, (), wishes, config=config)
    yield None, dtype, of(kept)


@functools.partial(jax.jit, static_argnames="axis")
def _not_finite(
    activation: Float[Array, "row *site"], *, axis: int
) -> Bool[Array, "row position"]:
    others = tuple(i for i in range(1, activation.ndim) if i != axis)
    return ~jnp.isfinite(activation).all(others)
