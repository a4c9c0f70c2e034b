"""Edits of what the answer position reads from some of the earlier tokens.

Two kinds of row, each one prompt resumed at its last token alone: attention to some
tokens is cut, or what these tokens show there (keys, values) is what the same tokens of
another prompt show. Earlier tokens themselves stay as they are.
"""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from mcq_jax.interventions import Edit, Site, patch
from mcq_jax.model import read_by
from mcq_jax.model.config import ModelConfig
from mcq_jax.model.positions import distinct_rotations, places_of, rotate
from mcq_jax.passes import Prefill
from mcq_jax.prompts import KeyClass, TokenisedPrompt, key_classes

# A score that no softmax can see, in every dtype.
_UNSEEN = -1e30


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cuts:
    """Rows whose answer position does not attend to some tokens, in some layers."""

    tokens: Bool[np.ndarray, "row key"]
    layers: Bool[np.ndarray, "row layer"]
    # True: the rest of the attention is scaled up to 1; False: it stays as it is.
    renormalised: Bool[np.ndarray, " row"]
    # Where each row answers.
    answer: Int[np.ndarray, " row"]

    @property
    def edits(self) -> tuple[Edit, ...]:
        def cut(site: Site, value: float, of: Bool[np.ndarray, " row"]) -> Edit:
            both = self.layers.T[:, :, None] & self.tokens[None]  # [layer, row, key]
            chosen = both & of[None, :, None]
            weight = chosen.astype(np.float32)[:, :, None, None, None]
            return patch(
                site, value, layers=range(self.layers.shape[1]),
                positions=self.answer[:, None], weight=weight,
            )  # fmt: skip

        return (
            cut(Site.SCORES, _UNSEEN, self.renormalised),
            cut(Site.PATTERN, 0.0, ~self.renormalised),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Swaps:
    """Rows whose answer position reads tokens as they are in another prompt.

    Keys, values and queries are interchanged for the heads named alone, in every layer.
    Keys turn to where they are read, as if the token had stood there.
    """

    # The prompt of a pass that each row is, and the one that it takes from.
    of: Int[np.ndarray, " row"]
    source: Int[np.ndarray, " row"]
    # The tokens, and those they are read as; the same number in all rows.
    to: Int[np.ndarray, "row token"]
    taken: Int[np.ndarray, "row token"]
    keys: Bool[np.ndarray, "row token"]
    values: Bool[np.ndarray, "row token"]
    queries: Bool[np.ndarray, " row"]
    heads: Bool[np.ndarray, "row layer kv_head group"]
    answer: Int[np.ndarray, " row"]

    def edits(self, start: Prefill, config: ModelConfig) -> tuple[Edit, ...]:
        """Returns the edits; the pass kept `Site.Q` at the answer position."""
        layers = range(config.layers)
        heads = np.moveaxis(self.heads, 1, 0)  # [layer, row, kv_head, group]
        width = start.blocks[0].keys.shape[2]
        at_answer = np.arange(width)[None] == self.answer[:, None]
        readers = heads[:, :, None] & at_answer[None, :, :, None, None]

        def read(site: Site, held: Array, which: Bool[np.ndarray, "row token"]) -> Edit:
            weight = which.astype(np.float32)[None, :, :, None, None]
            edit = patch(
                site, held, layers=layers, positions=self.to,
                weight=np.broadcast_to(weight, (config.layers, *weight.shape[1:])),
            )  # fmt: skip
            return read_by(edit, readers)

        places = (jnp.asarray(self.source)[:, None], jnp.asarray(self.taken))
        keys, values = (
            jnp.concatenate([getattr(b, name)[:, *places] for b in start.blocks])
            for name in ("keys", "values")
        )
        queries = (heads & self.queries[None, :, None, None]).astype(np.float32)
        return (
            read(Site.ROT_K, _turned(keys, self.to - self.taken, config), self.keys),
            read(Site.V, values, self.values),
            patch(
                Site.Q, start.activations[Site.Q][:, self.source], layers=layers,
                positions=self.answer[:, None], weight=queries[:, :, None, ..., None],
            ),
        )  # fmt: skip


def _turned(
    keys: Float[Array, "layer row token kv_head head_width"],
    distance: Int[np.ndarray, "row token"],
    config: ModelConfig,
) -> Array:
    """Keys turned on by a distance in tokens: rotations of positions add up."""
    places = places_of(jnp.asarray(distance), config)
    over_rows = jax.vmap(rotate, (0, 0, None))
    _, of_layer = distinct_rotations(config)
    return jax.vmap(over_rows, (0, None, 0))(keys, places, jnp.asarray(of_layer))


# Which tokens a route leads over.
LABELS, ENDS, BOTH, REST = "labels", "option ends", "labels and ends", "all others"
CUT_TOKENS = (LABELS, ENDS, BOTH, REST)


def tokens_of(
    prompt: TokenisedPrompt, keys: int
) -> dict[str, Bool[np.ndarray, " key"]]:
    """Returns which tokens before the last are labels, option ends, and neither.

    An option ends with its last token and the line break behind it. The first token is
    none of them: idle attention rests there.
    """
    kinds, options = key_classes(prompt)
    labels = kinds == KeyClass.LABEL
    ends = kinds == KeyClass.LINE_END
    for option in range(len(prompt.answer_ids)):
        words = np.flatnonzero((kinds == KeyClass.OPTION) & (options == option))
        ends[words[-1:]] = True
    rest = ~labels & ~ends & (kinds != KeyClass.FIRST)
    masks = {LABELS: labels, ENDS: ends, BOTH: labels | ends, REST: rest}
    whole = np.zeros((len(masks), keys), bool)
    whole[:, : len(kinds) - 1] = np.stack(list(masks.values()))[:, :-1]
    return dict(zip(masks, whole, strict=True))


def aligned(
    base: TokenisedPrompt, source: TokenisedPrompt, tokens: str
) -> tuple[list[int], list[int]] | None:
    """Returns the tokens of two prompts that stand for each other, line by line.

    None where a line has more of them in the one than in the other.
    """
    lines = [_lines(prompt, tokens) for prompt in (base, source)]
    if [len(line) for line in lines[0]] != [len(line) for line in lines[1]]:
        return None
    first, second = (sum(line, []) for line in lines)
    return first, second


def _lines(prompt: TokenisedPrompt, tokens: str) -> list[list[int]]:
    _, options = key_classes(prompt)
    chosen = tokens_of(prompt, len(prompt.ids))[tokens]
    places = np.argsort(prompt.place)
    return [np.flatnonzero(chosen & (options == k)).tolist() for k in places]


def filled(
    positions: Sequence[int], size: int, keys: int
) -> tuple[Int[np.ndarray, " token"], Bool[np.ndarray, " token"]]:
    """Returns as many different positions as wanted, and which of them count."""
    others = [p for p in range(keys) if p not in set(positions)]
    full = np.array([*positions, *others[: size - len(positions)]])
    return full, np.arange(size) < len(positions)
