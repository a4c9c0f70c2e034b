"""Captures of resumed rows: a plan's rows show what full passes would show.

For that a row is born no later than in the first layer that is seen, and runs over
every token that is. Positions and keys count from the first token of the sequence, as
those of `forward` do.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from mcq_jax.interventions import Capture, Site
from mcq_jax.model.config import ModelConfig
from mcq_jax.model.validation import check_wishes
from mcq_jax.passes.plan import Held, Labels, Plan, RowEdits


def check_row_captures(
    capture: Sequence[Capture],
    ends: Int[np.ndarray, " prompt"],
    config: ModelConfig,
    *,
    kept: int,
) -> None:
    """Raises ValueError for what rows do not have, or have in another place each.

    Args:
        ends: one behind the answer position of every prompt.
        kept: how many last tokens of the prompts rows may run over.
    """
    for wish in capture:
        what = f"a capture of {wish.site} in patched rows"
        if not wish.site.per_layer:
            raise ValueError(
                f"{what}, which is in no layer; rows run through layers only."
            )
        if wish.positions is None or (wish.site.key_axes and wish.keys is None):
            missing = "positions" if wish.positions is None else "keys"
            raise ValueError(
                f"{what} at all {missing}, of which prompts have different numbers; "
                f"name some, {missing}=[…]."
            )
        check_wishes((len(ends), int(ends.max())), (), (wish,), config)
        positions = np.asarray(wish.positions)
        named = positions if wish.keys is None else np.asarray(wish.keys)
        first, last = positions.min(axis=1), positions.max(axis=1)
        bad = (first < ends - kept) | (np.maximum(last, named.max(axis=1)) >= ends)
        if bad.any():
            prompt = int(bad.argmax())
            raise ValueError(
                f"{what}, prompt {prompt}: its last {kept} tokens run, "
                f"{ends[prompt] - kept} to {ends[prompt] - 1}, and positions "
                f"{positions[prompt % len(positions)].tolist()}, keys "
                f"{named[prompt % len(named)].tolist()} are asked for; name positions "
                "among these, and keys up to the last."
            )


def watched(
    plan: Plan, capture: Sequence[Capture], ends: Int[np.ndarray, " prompt"] | int
) -> Plan:
    """Returns the plan with rows that run over all that is captured.

    Args:
        ends: one behind the answer positions; 0 for positions that count from there.
    """
    if not capture:
        return plan
    firsts = [np.asarray(wish.positions).min(axis=1) for wish in capture]
    return WatchedRows(
        plan=plan,
        first_layer=min(min(wish.layers or (0,)) for wish in capture),
        tokens=max(int((ends - first).max()) for first in firsts),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class WatchedRows:
    """A plan, its rows no shorter than what is captured of them."""

    plan: Plan
    first_layer: int
    tokens: int

    @property
    def labels(self) -> Labels:
        return self.plan.labels

    @property
    def sites(self) -> tuple[Site, ...]:
        return self.plan.sites

    @property
    def suffix(self) -> int:
        return max(self.plan.suffix, self.tokens)

    @property
    def takes_own(self) -> bool:
        return self.plan.takes_own

    @property
    def births(self) -> Int[np.ndarray, " row"]:
        return np.minimum(self.plan.births, self.first_layer)

    @property
    def starts(self) -> Int[np.ndarray, " row"]:
        return np.maximum(self.plan.starts, self.tokens)

    @property
    def edits(self) -> RowEdits:
        return self.plan.edits

    def rows_at(self, layer: int):
        return self.plan.rows_at(layer)

    def take(self, rows: Int[np.ndarray, " row"]) -> "WatchedRows":
        return dataclasses.replace(self, plan=self.plan.take(rows))

    def of(self, prompts: Int[np.ndarray, " prompt"]) -> "WatchedRows":
        return dataclasses.replace(self, plan=self.plan.of(prompts))

    def read_from(
        self, sources: Int[np.ndarray, "prompt source"], whole: "WatchedRows"
    ) -> "WatchedRows":
        plan = self.plan.read_from(sources, whole.plan)
        return dataclasses.replace(self, plan=plan)

    def all_born_first(self) -> "WatchedRows":
        return dataclasses.replace(self, plan=self.plan.all_born_first())

    def differs(
        self, held: Mapping[Site, np.ndarray], prompt: int, source: int, number: int
    ) -> Bool[np.ndarray, " row"]:
        return self.plan.differs(held, prompt, source, number)

    def full_edits(
        self, held: Held, prompt: int, source: int, length: int, config: ModelConfig
    ):
        return self.plan.full_edits(held, prompt, source, length, config)


def by_prompt(capture: Sequence[Capture], prompts: int) -> list[Capture]:
    """Returns captures of one layer, every array with one row for each prompt."""

    def spread(indices):
        if indices is None:
            return None
        return np.broadcast_to(np.asarray(indices), (prompts, indices.shape[1]))

    return [
        dataclasses.replace(
            wish,
            layers=None,
            positions=spread(wish.positions),
            units=spread(wish.units),
            keys=spread(wish.keys),
        )
        for wish in capture
    ]


def as_a_row_sees(
    capture: Sequence[Capture], positions: Int[Array, " suffix"], earlier: int
) -> list[Capture]:
    """Returns one prompt's captures as its rows have them, within a layer.

    Args:
        positions: of the row's own tokens.
        earlier: how many keys stand before those of its own. Of a shorter prompt some
            of them are its own tokens as they were, which are never read.
    """
    first = positions[0]

    def within(wish: Capture) -> Capture:
        assert wish.positions is not None
        keys = wish.keys
        if keys is not None:
            keys = jnp.where(keys < first, keys, keys - first + earlier)
        return dataclasses.replace(wish, positions=wish.positions - first, keys=keys)

    return [within(wish) for wish in capture]
