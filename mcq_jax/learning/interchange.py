"""Rows that take a few coordinates of what a source holds at its last token.

    x + Bᵀ B (s − x)

for orthonormal B: of the residual stream in front of a layer, or of some heads'
queries, each with a B of its own.
"""

import dataclasses
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from mcq_jax import passes
from mcq_jax.interventions import Argument, Node, Site, apply
from mcq_jax.model import ModelConfig, Parameters
from mcq_jax.prompts import TokenisedPrompt
from mcq_jax.sharding import Track


@dataclasses.dataclass(frozen=True, kw_only=True)
class Where:
    """What is interchanged: the last token's residual in front of `layer`, or queries.

    With heads named, those heads' queries, in whichever layers they are.
    """

    layer: int = 0
    heads: tuple[Node, ...] = ()

    def __post_init__(self):
        blocks = [str(node) for node in self.heads if node.head is None]
        if blocks:
            raise ValueError(
                f"queries of {', '.join(blocks)}; feed-forward blocks have none, name "
                "heads."
            )

    @property
    def site(self) -> Site:
        return Site.Q if self.heads else Site.RESID_PRE

    @property
    def layers(self) -> tuple[int, ...]:
        """One slot for each layer that is changed."""
        return tuple(sorted({n.layer for n in self.heads})) or (self.layer,)

    def shape(self, config: ModelConfig) -> tuple[int, ...]:
        """The axes of a basis: those of slot and heads, before vector and width."""
        named = [str(node) for node in self.heads if (node.head or 0) >= config.heads]
        if named or not all(0 <= layer < config.layers for layer in self.layers):
            raise ValueError(
                f"an interchange in layers {list(self.layers)}{' of ' * bool(named)}"
                f"{', '.join(named)}; the model has {config.layers} layers of "
                f"{config.heads} heads."
            )
        heads = (config.kv_heads, config.group) if self.heads else ()
        return (len(self.layers), *heads)

    def width(self, config: ModelConfig) -> int:
        return config.head_width if self.heads else config.width

    def mask(self, config: ModelConfig) -> Bool[np.ndarray, "slot *unit"]:
        """Which of the slots' heads are changed; all there is of a residual."""
        chosen = np.ones(self.shape(config), bool)
        if self.heads:
            places = {(n.layer, n.head) for n in self.heads}
            flat = np.array([[(at, h) in places for h in range(config.heads)]
                             for at in self.layers])  # fmt: skip
            chosen = flat.reshape(chosen.shape)
        return chosen


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pairs:
    """Bases that were run, and what their sources hold at their last tokens."""

    start: passes.Prefill
    # By site: of the residual `[layer, row, 1, width]`, of queries with their heads.
    held: dict[Site, Array]
    # The base's answers; where it answers.
    answer_ids: Int[np.ndarray, "row choice"]
    answer: Int[np.ndarray, " row"]

    @property
    def count(self) -> int:
        return len(self.answer)


def run_pairs(
    parameters: Parameters,
    bases: Sequence[TokenisedPrompt],
    sources: Sequence[TokenisedPrompt],
    *,
    config: ModelConfig,
    at_once: int = 16,
    track: Track = iter,
) -> list[Pairs]:
    """Returns rows of one base and one source each, in batches, prompts run once.

    Batches are of one size: the last one repeats its last row, whose repeats count as
    rows (`rows_of`).

    Args:
        track: wraps the batches, for a bar.
    """
    if len(bases) != len(sources):
        raise ValueError(
            f"{len(bases)} bases and {len(sources)} sources; give each its own."
        )
    found = []
    for rows in track(rows_of(len(bases), at_once)):
        asked = [bases[i] for i in rows] + [sources[i] for i in rows]
        lengths = np.array([len(prompt.ids) for prompt in asked])
        ids = np.zeros((len(asked), -(-lengths.max() // 16) * 16), np.int32)
        for row, prompt in zip(ids, asked, strict=True):
            row[: len(prompt.ids)] = prompt.ids
        run = passes.prefill(parameters, ids, lengths, config=config, sites=(Site.Q,))
        held = {
            Site.RESID_PRE: run.resid_pre[:, len(rows) :],
            Site.Q: run.activations[Site.Q][:, len(rows) :],
        }
        found.append(
            Pairs(
                start=run.take(np.arange(len(rows))),
                held=held,
                answer_ids=np.stack([bases[i].answer_ids for i in rows]),
                answer=lengths[: len(rows)] - 1,
            )
        )
    return found


def rows_of(count: int, at_once: int) -> list[Int[np.ndarray, " row"]]:
    """Returns which rows each batch of `run_pairs` has; each row is somewhere first."""
    if count < 1 or at_once < 1:
        raise ValueError(
            f"{count} rows, {at_once} at once; give at least one row, and one at once."
        )
    size = min(count, at_once)
    starts = range(0, count, size)
    return [np.minimum(np.arange(at, at + size), count - 1) for at in starts]


def interchanged(
    parameters: Parameters,
    pairs: Pairs,
    basis: Float[Array, "slot *unit vector width"],
    where: Where,
    *,
    config: ModelConfig,
) -> Float[Array, "row choice"]:
    """Returns the bases' answer logits; can be differentiated by the basis."""
    held = pairs.held[where.site][np.array(where.layers)]
    # [slot, row, position, *unit, …]
    spread = jnp.expand_dims(basis, (1, 2))
    mask = where.mask(config)[:, None, None, ..., None].astype(np.float32)
    edit = apply(
        where.site, take_coordinates, Argument(held), Argument(spread),
        layers=where.layers, positions=pairs.answer[:, None], weight=mask,
    )  # fmt: skip
    rows = passes.resume_edited(
        parameters, pairs.start, [edit], of=np.arange(pairs.count), config=config,
        first_layer=where.layers[0],
    )  # fmt: skip
    logits, _ = passes.read_answers(
        parameters.unembedding, rows.final[:, None], pairs.answer_ids, config=config,
        full_vocabulary=False,
    )  # fmt: skip
    return logits[:, 0]


def take_coordinates(x: Array, source: Array, basis: Array) -> Array:
    """x with what the source holds along orthonormal vectors, in float32."""
    x = x.astype(jnp.float32)
    within = jnp.einsum("...w,...kw->...k", source.astype(jnp.float32) - x, basis)
    return x + jnp.einsum("...k,...kw->...w", within, basis)
