"""Generation under edits, against whole passes over what was written."""

import dataclasses

import numpy as np

from mcq_jax import model
from tests.fuzz import drawing, oracle, ours
from tests.fuzz.changes import AXES, Change
from tests.fuzz.comparing import Pairs
from tests.fuzz.drawing import Random, Space, pick
from tests.fuzz.reference import Watched


def run(pair, watched: Watched, shape: Random, data: Random, folder):
    """Rows that are continued greedily; every step's logits are compared."""
    rows, width, steps = pick(shape, (2, 6, 3), (3, 9, 5), (1, 4, 8))
    lengths = data.integers(2, width + 1, size=rows)
    tokens = data.integers(pair.ours.config.vocabulary, size=(rows, width))
    # Positions among the prompts, or among what is written as well.
    ends = lengths + pick(shape, 0, steps - 1)
    space = Space(pair.ours.config, ends, width, 0 * lengths)
    changes = [c for c in drawing.draw_changes(space, shape, data) if _acts(c)]
    asked = f"lengths {lengths.tolist()} of {width}, {steps} steps\n{changes}"
    found = model.generate(
        pair.ours.parameters, tokens, lengths, config=pair.ours.config, steps=steps,
        edits=[ours.edit_of(change, {}) for change in changes], keep_logits=True,
    )  # fmt: skip
    written, logits = np.asarray(found.tokens), np.asarray(found.logits)
    whole = np.zeros((rows, width + steps - 1), int)
    for row, length in enumerate(lengths):
        said = [*tokens[row, :length], *written[row, :-1]]
        whole[row, : len(said)] = said
    acting = [_in_the_whole(change, width, whole.shape[1]) for change in changes]

    def pairs() -> Pairs:
        seen = oracle.run(watched, whole, lengths + steps - 1, acting).logits
        there = lengths[:, None] - 1 + np.arange(steps)
        yield "logits", logits, np.take_along_axis(seen, there[..., None], axis=1)
        yield "tokens", written, logits.argmax(-1)

    return asked, pairs


def _acts(change: Change) -> bool:
    """Whether a change means the same of a prompt and of what continues it."""
    return change.kind not in ("mean", "resample") and "key" not in AXES[change.site]


def _in_the_whole(change: Change, width: int, total: int) -> Change:
    """A change as one of the whole text: what ends with the prompts ends there."""
    axis = 2 + AXES[change.site].index("position")
    sizes = [np.shape(a)[axis] for a in (change.weight, change.value) if np.ndim(a)]
    if change.positions is None and max(sizes, default=1) > 1:
        change = dataclasses.replace(change, positions=np.arange(width)[None])
    if change.readers is not None:
        behind = [(0, total - len(change.readers)), (0, 0), (0, 0)]
        change = dataclasses.replace(change, readers=np.pad(change.readers, behind))
    return change
