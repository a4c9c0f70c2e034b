"""`seen_by_heads`: what heads see of some keys from the answer position.

Queries, keys and values, in a frame in which they can be compared across prompts of
different length. Rotated keys of different positions are never put together as they
are: four labels at many positions fill ten dimensions, though each turns in a few.
"""

import dataclasses
import enum
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from mcq_jax.interventions import Node, Site
from mcq_jax.model.config import ModelConfig
from mcq_jax.model.constants import layer_constants
from mcq_jax.model.parameters import Parameters
from mcq_jax.model.positions import Places, layer_frequencies, rotate
from mcq_jax.model.relative import sinusoids
from mcq_jax.passes.head_captures import (
    attention_weights,
    capture_heads,
    kv_head_and_group,
)
from mcq_jax.prompts import TokenisedPrompt


class Frame(enum.Enum):
    """How queries and keys stand to each other."""

    PRE_ROTATION = "both before rotation: content without distance"
    QUERY = "queries before rotation, keys turned by their distance from them"
    MEAN_OFFSET = "as QUERY, but every key as if it stood at the mean distance"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SeenByHeads:
    """What some heads see of some keys in each prompt, in float32.

    The score of a key is `query . key + key_bias`, times the head's scale, capped.
    """

    heads: tuple[Node, ...]
    frame: Frame
    query: Float[np.ndarray, "prompt head head_width"]
    keys: Float[np.ndarray, "prompt head key head_width"]
    # What a score owes to the key alone; 0 but for relative positions.
    key_bias: Float[np.ndarray, "prompt head key"]
    values: Float[np.ndarray, "prompt head key head_width"]
    # The model's own, scaled and capped; -inf for keys out of the head's window.
    scores: Float[np.ndarray, "prompt head key"]
    # How far behind the query each key stands; 0 is its own position.
    distance: Int[np.ndarray, "prompt key"]
    score_scale: Float[np.ndarray, " head"]
    score_cap: float | None

    def scores_in_frame(self) -> Float[np.ndarray, "prompt head key"]:
        """Returns what the scores would be in this frame; QUERY's are the model's."""
        products = np.einsum("phw,phkw->phk", self.query, self.keys) + self.key_bias
        scores = products * self.score_scale[:, None]
        if self.score_cap is not None:
            scores = self.score_cap * np.tanh(scores / self.score_cap)
        return np.where(np.isneginf(self.scores), -np.inf, scores)


def seen_by_heads(
    parameters: Parameters,
    asked: Sequence[TokenisedPrompt],
    heads: Sequence[Node],
    *,
    config: ModelConfig,
    frame: Frame = Frame.QUERY,
    keys: Int[np.ndarray, "prompt key"] | None = None,
    mean_distance: float | None = None,
    prompts_at_once: int = 8,
) -> SeenByHeads:
    """Runs prompts and returns what heads see from their answer positions.

    Queries and keys are taken behind their norm (Qwen3, Gemma 3, OLMo 2). Relative
    positions (Chinchilla) add a direction to each key and a number to each score.

    Args:
        keys: positions that are looked at, as many in every prompt; the labels where
            left out.
        mean_distance: of `MEAN_OFFSET`; the mean over these prompts and keys where left
            out. Give that of the prompts one compares with.
    """
    positions = _key_positions(asked, keys)
    _check(heads, frame, config)
    last = np.array([len(prompt.ids) - 1 for prompt in asked])
    distance = last[:, None] - positions
    fixed = distance.mean() if mean_distance is None else mean_distance
    shown = np.full(distance.shape, fixed) if frame is Frame.MEAN_OFFSET else distance
    raw = capture_heads(
        parameters, asked, heads, positions, config=config,
        prompts_at_once=prompts_at_once,
    )  # fmt: skip
    rows = []
    for index, head in enumerate(heads):
        frequencies = layer_frequencies(config)[head.layer]
        query = turned(raw[Site.ROT_Q][:, index], -last, frequencies)
        key = turned(raw[Site.ROT_K][:, index], -positions, frequencies)
        bias = np.zeros(positions.shape, np.float32)
        if frame is not Frame.PRE_ROTATION:
            key = turned(key, -shown, frequencies)
        if config.relative_positions:
            weights = attention_weights(parameters, head, _RELATIVE, config)
            key, bias = _with_relative(key, frame, shown, weights)
        rows.append((query, key, bias))
    query, key, bias = (np.stack(parts, axis=1) for parts in zip(*rows, strict=True))
    scales = layer_constants(config).score_scale
    return SeenByHeads(
        heads=tuple(heads),
        frame=frame,
        query=query,
        keys=key,
        key_bias=bias,
        values=raw[Site.V],
        scores=raw[Site.SCORES],
        distance=distance,
        score_scale=np.array([np.asarray(scales)[head.layer] for head in heads]),
        score_cap=config.score_cap,
    )


# What each query head has of its own where positions are relative.
_RELATIVE = ("relative", "content_bias", "position_bias")


def _with_relative(
    keys: Float[np.ndarray, "prompt key head_width"],
    frame: Frame,
    distance: np.ndarray,
    weights: dict[str, np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Keys and biases of (q + u).k + (q + v).Wr = q.(k + Wr) + u.k + v.Wr."""
    bias = keys @ weights["content_bias"]
    if frame is Frame.PRE_ROTATION:
        return keys, bias
    waves = sinusoids(distance, weights["relative"].shape[-1])
    directions = waves @ weights["relative"].T
    return keys + directions, bias + directions @ weights["position_bias"]


def turned(
    x: Float[np.ndarray, "*rows head_width"],
    by: np.ndarray,
    frequencies: Float[np.ndarray, " half"],
) -> Float[np.ndarray, "*rows head_width"]:
    """Queries or keys turned by as many positions as `by` says, also parts of one."""
    angles = np.multiply.outer(by.reshape(-1).astype(np.float64), frequencies)
    places = Places(
        positions=jnp.zeros(angles.shape[0], jnp.int32),
        cosine=jnp.asarray(np.cos(angles)[None], jnp.float32),
        sine=jnp.asarray(np.sin(angles)[None], jnp.float32),
    )
    flat = jnp.asarray(x.reshape(-1, x.shape[-1]), jnp.float32)
    return np.asarray(rotate(flat, places, 0)).reshape(x.shape)


def _key_positions(
    asked: Sequence[TokenisedPrompt], keys: np.ndarray | None
) -> Int[np.ndarray, "prompt key"]:
    if not asked:
        raise ValueError("no prompts to look into; give at least one.")
    if keys is None:
        counts = sorted({len(prompt.label_positions) for prompt in asked})
        if len(counts) > 1:
            raise ValueError(
                f"prompts with {counts} labels in one list; look into each number of "
                "options by itself."
            )
        keys = np.stack([prompt.label_positions for prompt in asked])
    keys = np.asarray(keys)
    lengths = np.array([len(prompt.ids) for prompt in asked])
    if keys.ndim != 2 or len(keys) != len(asked):
        raise ValueError(
            f"keys of shape {keys.shape} for {len(asked)} prompts; give [prompt, key]."
        )
    if (keys < 0).any() or (keys >= lengths[:, None]).any():
        row = int(np.argmax(((keys < 0) | (keys >= lengths[:, None])).any(axis=1)))
        raise ValueError(
            f"keys {keys[row].tolist()} of prompt {row}, which has {lengths[row]} "
            "tokens; give positions in it (pairs have no labels: name their keys)."
        )
    return keys


def _check(heads: Sequence[Node], frame: Frame, config: ModelConfig) -> None:
    if not heads:
        raise ValueError("no heads to look through; give at least one.")
    for head in heads:
        kv_head_and_group(head, config)
        if not 0 <= head.layer < config.layers:
            raise ValueError(
                f"{head} in a model of {config.layers} layers; name a layer from 0 to "
                f"{config.layers - 1}."
            )
    if frame is Frame.MEAN_OFFSET and config.learned_positions:
        raise ValueError(
            "keys at their mean distance, but this model has learned positions: they "
            "are part of the residual stream, not of attention, and no frame takes "
            "them out of a key; use the frame QUERY, which is exact."
        )
