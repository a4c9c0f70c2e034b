"""What heads and feed-forward blocks do, said in directions, and as weight arrays."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from mcq_jax.planted.channels import Directions

# A score whose half leaves softmax nothing that counts (exp(-30)). Not larger, since
# float32 rounds large scores coarsely and some heads add a soft choice to a hard one.
HARD = 60.0


@dataclasses.dataclass(frozen=True)
class Match:
    """A term of a head's score: strength * sum of (query · query_i) (key · key_i)."""

    query: Directions
    key: Directions
    strength: float


@dataclasses.dataclass(frozen=True)
class Write:
    """What a head copies: `strength` times what the key holds in `read`, into `to`."""

    read: Directions
    to: Directions
    strength: float = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Head:
    """One attention head."""

    matches: tuple[Match, ...]
    writes: tuple[Write, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Neurons:
    """A feed-forward block: relu(x · reads_i) times writes_i, summed over neurons."""

    reads: Float[np.ndarray, "neuron width"]
    writes: Float[np.ndarray, "neuron width"]


def join(parts: Sequence[Neurons]) -> Neurons:
    """Returns one block that does what all of them do."""
    return Neurons(
        reads=np.concatenate([part.reads for part in parts]),
        writes=np.concatenate([part.writes for part in parts]),
    )


def head_weights(
    head: Head, turn: Float[np.ndarray, "head_width head_width"]
) -> dict[str, np.ndarray]:
    """Returns query, key, value and output, each `[head_width, width]`.

    Each match and each write takes as many of the head's dimensions as it has rows.
    `turn` is an orthogonal matrix that hides which. The model's score scale,
    head_width ** -0.5, is folded into the query.
    """
    scale = len(turn) ** 0.5
    root = [np.sqrt(match.strength) for match in head.matches]
    queries = [r * m.query for r, m in zip(root, head.matches, strict=True)]
    keys = [r * m.key for r, m in zip(root, head.matches, strict=True)]
    return {
        "query": scale * _rows(queries, turn),
        "key": _rows(keys, turn),
        "value": _rows([write.read for write in head.writes], turn),
        "output": _rows([w.strength * w.to for w in head.writes], turn),
    }


def block_weights(block: Neurons, neurons: int) -> dict[str, np.ndarray]:
    """Returns up and down, each `[neuron, width]`, unused neurons at 0."""
    spare = neurons - len(block.reads)
    if spare < 0:
        raise ValueError(
            f"{len(block.reads)} neurons are needed, the model has {neurons}; give it "
            "more."
        )
    return {
        "up": np.pad(block.reads, ((0, spare), (0, 0))),
        "down": np.pad(block.writes, ((0, spare), (0, 0))),
    }


def _rows(
    parts: Sequence[Directions], turn: Float[np.ndarray, "head_width head_width"]
) -> Float[np.ndarray, "head_width width"]:
    rows = np.concatenate(list(parts))
    if len(rows) > len(turn):
        raise ValueError(
            f"{len(rows)} head dimensions are needed, the model has {len(turn)}; give "
            "it wider heads."
        )
    return turn[: len(rows)].T @ rows
