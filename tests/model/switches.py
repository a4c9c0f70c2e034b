"""Edits of all sites in one program, each with a weight of its own.

A law over sites then costs one compilation per model, not one per site: what
changes from site to site is an array.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike

from mcq_jax.interventions import Edit, Site, patch
from mcq_jax.model import ModelConfig, Output, Parameters, forward, sites_of
from tests import tiny

ROWS, POSITIONS = 2, 5
# The layer whose sites are edited: one with layers before and behind it.
LAYER = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Switches:
    """A model, its tokens, and one edit per site; all weights are 0."""

    config: ModelConfig
    parameters: Parameters
    tokens: Array
    # What the edits were built from, `[slot, row, *site axes]`.
    sources: dict[Site, np.ndarray]
    edits: dict[Site, Edit]

    @functools.cached_property
    def plain(self) -> Array:
        """Logits of the program without edits and captures."""
        return forward(self.parameters, self.tokens, config=self.config).logits

    def run(
        self,
        weights: Mapping[Site, ArrayLike],
        *,
        sources: Mapping[Site, Array] = {},  # noqa: B006
        layers: Mapping[Site, int] = {},  # noqa: B006
        tokens: Array | None = None,
    ) -> Output:
        """The one program with edits; it captures every site.

        A weight is a number, or `[row, position]`.
        """
        edits = [
            dataclasses.replace(
                edit,
                weight=spread(weights.get(site, 0.0), site),
                value=sources.get(site, edit.value),
                layers=jnp.array([layers.get(site, LAYER * site.per_layer)]),
            )
            for site, edit in self.edits.items()
        ]
        tokens = self.tokens if tokens is None else tokens
        return forward(
            self.parameters,
            tokens,
            edits,
            config=self.config,
            capture=tuple(self.edits),
        )


def spread(weight: ArrayLike, site: Site) -> Array | np.ndarray:
    """A weight of the one shape that the program has for a site."""
    if isinstance(weight, Tracer):
        return _reshape(jnp.broadcast_to(weight, (ROWS, POSITIONS)), site)
    table = np.broadcast_to(np.asarray(weight, np.float32), (ROWS, POSITIONS))
    return _reshape(table, site)


def _reshape(table, site: Site):
    sizes = [POSITIONS if axis == "position" else 1 for axis in site.axes]
    return table.reshape(1, ROWS, *sizes)


@functools.cache
def clean_run(case: str, dtype: str) -> Output:
    return switches(case, dtype).run({})


def assert_plain(logits: Array, model: Switches) -> None:
    """Asserts that logits are the plain program's, bit for bit.

    From jax 0.12 on, XLA sums one model in another order when all sites have edits (not
    when any one of them has): to rounding there.
    """
    sums_otherwise = tiny.CASES["as Gemma 3: normed heads, own rotation in windows"]
    if model.config != sums_otherwise or jax.__version_info__ < (0, 12):
        np.testing.assert_array_equal(logits, model.plain)
    else:
        atol = 1e-6 * float(jnp.abs(model.plain).max())
        np.testing.assert_allclose(logits, model.plain, rtol=0, atol=atol)


def seen_at(output: Output, site: Site) -> Array:
    """A captured site `[row, …]`, in the edited layer where it has layers."""
    array = output.activations[site]
    return array[LAYER] if site.per_layer else array


@functools.cache
def switches(
    case: str,
    dtype: str = "float32",
    *,
    stacked=False,
    build: Callable[..., Edit] = patch,
) -> Switches:
    """One of the table's models, with random sources.

    Args:
        build: `(site, source, **where)` to an edit.
    """
    config = tiny.CASES[case]
    sizes = (config.layers,) if stacked else (1,) * config.layers
    parameters = tiny.random_parameters(config, dtype=jnp.dtype(dtype), sizes=sizes)
    sources = {site: _source(site, config) for site in sites_of(config)}
    edits = {
        site: build(
            site,
            source,
            layers=(LAYER if site.per_layer else 0,),
            weight=spread(0.0, site),
        )
        for site, source in sources.items()
    }
    return Switches(
        config=config,
        parameters=parameters,
        tokens=tiny.random_tokens(config, ROWS, POSITIONS),
        sources=sources,
        edits=edits,
    )


def _source(site: Site, config: ModelConfig) -> np.ndarray:
    generator = np.random.default_rng(list(Site).index(site))
    # Positive, since scales and patterns are.
    return generator.uniform(0.1, 1.0, source_shape(site, config))


def source_shape(site: Site, config: ModelConfig) -> tuple[int, ...]:
    """`[slot, row, *site axes]` of one slot."""
    sizes = {
        "position": POSITIONS,
        "key": POSITIONS,
        "kv_head": config.kv_heads,
        "group": config.group,
        "head_width": config.head_width,
        "width": config.width,
        "neuron": config.neurons,
        "vocabulary": config.vocabulary,
        "one": 1,
    }
    return (1, ROWS, *(sizes[axis] for axis in site.axes))
