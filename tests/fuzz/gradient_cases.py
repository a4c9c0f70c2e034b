"""Derivatives through a resumed pass, against differences of the reference's runs."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from mcq_jax import passes
from tests.fuzz import oracle, ours
from tests.fuzz.changes import AXES, WITHOUT_LAYER, Change, Look
from tests.fuzz.comparing import Pairs
from tests.fuzz.drawing import Random, Space, pick
from tests.fuzz.precision import in_float64
from tests.fuzz.reference import Watched

ROWS, POSITIONS, SUFFIX = 2, 8, 3
# Of what an edit holds, on both sides: the differences are exact to the fourth order.
_STEPS = {-2: 1 / 12, -1: -2 / 3, 1: 2 / 3, 2: -1 / 12}
_STEP = 5e-3


def run(pair, watched: Watched, shape: Random, data: Random, folder):
    """One edit's value and weight moved in some direction, forwards and backwards."""
    config, parameters = pair.ours.config, pair.ours.parameters
    lengths = data.integers(SUFFIX + 1, POSITIONS + 1, size=ROWS)
    tokens = data.integers(config.vocabulary, size=(ROWS, POSITIONS))
    change = _draw(Space(config, lengths, POSITIONS, lengths - SUFFIX), shape, data)
    along = data.normal(size=np.shape(change.value)), float(data.normal())
    read = data.normal(size=(ROWS, config.width))
    edit = ours.edit_of(change, {})
    start = passes.prefill(parameters, tokens, lengths, config=config, suffix=SUFFIX)

    def heard(value, weight):
        """A number of each row's final residual."""
        moved = dataclasses.replace(edit, value=value, weight=weight)
        final = passes.resume_edited(
            parameters, start, [moved], of=np.arange(ROWS), config=config
        ).final
        return (final * jnp.asarray(read, jnp.float32)).sum(1)

    held = edit.value, edit.weight
    towards = tuple(
        jnp.broadcast_to(jnp.asarray(by, jnp.float32), there.shape)
        for by, there in zip(along, held, strict=True)
    )
    forwards = jax.jvp(heard, held, towards)[1]
    slopes = jax.vjp(heard, *held)[1](jnp.ones(ROWS))
    backwards = sum(
        float((slope * by).sum()) for slope, by in zip(slopes, towards, strict=True)
    )

    def pairs() -> Pairs:
        with in_float64(watched.model):
            expected = sum(
                share
                * _heard(watched, tokens, lengths, change, along, read, number * _STEP)
                for number, share in _STEPS.items()
            )
        expected = np.asarray(expected) / _STEP
        yield "forwards", forwards, expected
        # On one scale with what it is the sum of.
        yield (
            "backwards",
            np.append(forwards, backwards),
            np.append(expected, expected.sum()),
        )

    return f"lengths {lengths.tolist()}\n{change}", pairs


def _draw(space: Space, shape: Random, data: Random) -> Change:
    sites = [s for s in space.sites if s not in WITHOUT_LAYER and "key" not in AXES[s]]
    site, selected = str(shape.choice(sites)), pick(shape, 1, 2)
    places = [
        data.permutation(np.arange(first, end))[:selected]
        for first, end in zip(space.firsts, space.lengths, strict=True)
    ]
    sizes = [space.size(axis) for axis in AXES[site]]
    sizes[AXES[site].index("position")] = selected
    value = data.normal(size=(1, pick(shape, 1, ROWS), *sizes))
    kind = pick(shape, "patch", "add", "scale")
    return Change(
        kind=kind, site=site, layers=(int(shape.integers(space.config.layers)),),
        positions=np.stack(places), weight=float(data.choice([0.0, 0.5, 1.0])),
        value=np.abs(value) if site.endswith("scale") else value,
    )  # fmt: skip


def _heard(watched, tokens, lengths, change: Change, along, read, step: float):
    moved = dataclasses.replace(
        change,
        value=change.value + step * along[0],
        weight=change.weight + step * along[1],
    )
    last = Look(site="final_resid", positions=lengths[:, None] - 1)
    seen = oracle.run(watched, tokens, lengths, [moved], [last])
    return (seen.sites["final_resid"][:, 0] * read).sum(1)
