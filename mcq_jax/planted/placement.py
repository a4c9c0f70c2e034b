"""Which layer and head each part gets: any place that keeps the story's order."""

from collections.abc import Sequence

import numpy as np

from mcq_jax.interventions import Node
from mcq_jax.planted.parts import Part, Stage
from mcq_jax.planted.weights import Head

# Layers that the story cannot do without: one per stage.
LEAST_LAYERS = 5
# Heads that may all have to act between gathering and amplifying.
LEAST_HEADS = 5


def place(
    parts: Sequence[Part],
    *,
    layers: int,
    heads: int,
    generator: np.random.Generator | None,
) -> dict[Node, Part]:
    """Returns a node for every part, drawn at random or (None) as early as can be."""
    has_shadow = any(part.stage is Stage.SHADOWING for part in parts)
    least = LEAST_LAYERS + has_shadow
    if layers < least or heads < LEAST_HEADS:
        raise ValueError(
            f"{layers} layers of {heads} heads; a planted circuit needs at least "
            f"{least} layers of {LEAST_HEADS} heads."
        )
    allowed = _layers_of_stages(layers, least, generator)
    placed: dict[Node, Part] = {}
    # Parts that may stand anywhere come last and take what is left.
    for part in sorted(parts, key=lambda part: part.stage):
        free = [
            node
            for layer in allowed[part.stage]
            for node in _nodes_for(part, layer, allowed, heads)
            if node not in placed
        ]
        if not free:
            raise ValueError(
                f"No place is left for the {part.role} in {layers} layers of {heads} "
                "heads; give more layers or heads."
            )
        choice = 0 if generator is None else int(generator.integers(len(free)))
        placed[free[choice]] = part
    return placed


def _layers_of_stages(
    layers: int, stages: int, generator: np.random.Generator | None
) -> dict[Stage, range]:
    """Cuts the layers into one run per stage; counting takes one layer of its run.

    The layers before the counter's are left to parts that may stand anywhere.
    """
    if generator is None:
        last = np.arange(stages - 1)
    else:
        last = generator.choice(layers - 1, stages - 1, replace=False)
    count, read, *shadow, gather, point = np.sort(last).tolist()
    before = shadow[0] if shadow else read
    return {
        Stage.COUNTING: range(count, count + 1),
        Stage.READING: range(count + 1, read + 1),
        Stage.SHADOWING: range(read + 1, before + 1),
        Stage.GATHERING: range(before + 1, gather + 1),
        Stage.POINTING: range(gather + 1, point + 1),
        Stage.AMPLIFYING: range(point + 1, layers),
        Stage.ANY: range(layers),
    }


def _nodes_for(
    part: Part, layer: int, allowed: dict[Stage, range], heads: int
) -> list[Node]:
    if isinstance(part.weights, Head):
        return [Node(layer, head) for head in range(heads)]
    # The agreeing block must come after both gatherers, so at the end of their run.
    is_late_enough = (
        part.stage is not Stage.GATHERING or layer == allowed[Stage.GATHERING][-1]
    )
    return [Node(layer, None)] if is_late_enough else []
