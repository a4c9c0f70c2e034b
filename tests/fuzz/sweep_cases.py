"""Sweeps: random plans over random prompts, against one reference run per prompt.

The oracle says of each row which numbers of which site it replaces by what, and never
sees a plan of ours.
"""

import dataclasses

import numpy as np

from mcq_jax import sweeps
from mcq_jax.prompts import TokenisedPrompt
from mcq_jax.sweeps import Ablation, Direction, Sources, outcomes
from tests.fuzz.changes import AXES, apply_change
from tests.fuzz.comparing import Pairs
from tests.fuzz.drawing import Random, pick
from tests.fuzz.joint_plans import JOINT_PLANS
from tests.fuzz.reference import Watched
from tests.fuzz.sweep_plans import PLANS, Piece, Row

METRICS = {
    "logits": outcomes.patched_logits,
    "normaliser": outcomes.patched_log_normaliser,
    "net": outcomes.net_effect,
    "loss": outcomes.loss_effect,
    "kl": outcomes.kl_effect,
}


def run_joint(pair, watched: Watched, shape: Random, data: Random, folder):
    """A sweep whose rows change several places, or directions."""
    return run(pair, watched, shape, data, folder, plans=JOINT_PLANS)


def run(pair, watched: Watched, shape: Random, data: Random, folder, *, plans=PLANS):
    """One sweep, compared answer by answer."""
    config = pair.ours.config
    count = pick(shape, 2, 3)
    shortest, common = pick(shape, 3, 5), pick(shape, 0, 0, 0, 66)
    lengths = data.integers(shortest, 12, size=count)
    name = str(shape.choice(list(plans)))
    if name == "patterns":
        lengths[:] = lengths[0]
    plan, rows = plans[name](config, lengths, shortest, shape, data)
    start = data.integers(config.vocabulary, size=common)
    asked = [
        _prompt(config, start, length, i, data) for i, length in enumerate(lengths)
    ]
    sources, direction = _sources(name, count, shape, data)
    full_passes = pick(shape, True, False, False, False, False)
    said = (
        f"{name}, lengths {[len(p.ids) for p in asked]}, {sources}, {direction}, "
        f"full passes {full_passes}, {len(rows)} rows\n{plan}"
    )
    found = sweeps.sweep(
        pair.ours.parameters, asked, plan, sources, config=config, metrics=METRICS,
        direction=direction, prompts_at_once=pick(shape, 1, 2, 4),
        rows_at_once=pick(shape, 3, 100), by_full_passes=full_passes,
    )  # fmt: skip

    def pairs() -> Pairs:
        expected = _expected(watched, asked, rows, sources, direction)
        for metric, values in expected.items():
            yield metric, found.values[metric], values

    return said, pairs


def _prompt(config, start, length: int, index: int, data: Random) -> TokenisedPrompt:
    choices = 3
    own = data.integers(config.vocabulary, size=length)
    return TokenisedPrompt(
        ids=np.concatenate([start, own]).astype(np.int32),
        spans=(),
        label_positions=np.full(choices, -1),
        label_ids=np.full(choices, -1),
        answer_ids=data.permutation(config.vocabulary)[:choices].astype(np.int32),
        gold=int(data.integers(choices)),
        question=f"question {index}",
    )


def _sources(name: str, count: int, shape: Random, data: Random):
    kind = pick(shape, "prompts", "prompts", "prompts", "ablation")
    if name == "edits":
        return Ablation.ZERO, Direction.NOISE
    if kind == "ablation" and name != "patterns":
        return Ablation(pick(data, Ablation.ZERO, Ablation.MEAN)), Direction.NOISE
    kinds = pick(shape, ("one",), ("one", "two"))
    away = data.integers(1, count, size=(count, len(kinds)))
    index = (np.arange(count)[:, None] + away) % count
    return Sources(kinds=kinds, index=index), pick(shape, *Direction)


def _expected(watched, asked, rows: list[Row], sources, direction) -> dict:
    """Every metric `[prompt, source, row, …]`, from one reference run per prompt."""
    clean = [_clean(watched, prompt, rows) for prompt in asked]
    by_prompt = []
    for p in range(len(asked)):
        by_source = []
        for number in range(len(sources.kinds)):
            by_source.append(
                _one(watched, asked, clean, rows, sources, direction, p, number)
            )
        by_prompt.append({k: np.stack([d[k] for d in by_source]) for k in METRICS})
    return {k: np.stack([d[k] for d in by_prompt]) for k in METRICS}


def _one(watched, asked, clean, rows, sources, direction, p: int, number: int) -> dict:
    target = asked[p]
    if isinstance(sources, Ablation):
        run_on, read_from = p, None
    else:
        source = int(sources.index[p, number])
        run_on, read_from = (p, source) if direction is Direction.NOISE else (source, p)

    def value(piece: Piece):
        """`[selected, …]`: what stands at the selected places in the source."""
        if piece.is_own:
            return _at(clean[run_on][1], piece, run_on)
        if read_from is not None:
            return _at(clean[read_from][1], piece, read_from)
        own = np.stack([_at(held, piece, run_on) for _, held in clean])
        return own.mean(0) if sources is Ablation.MEAN else 0 * own[0]

    def visit(site: str, layer: int, x: np.ndarray) -> np.ndarray:
        x = x.copy()
        for index, row in enumerate(rows):
            for piece in row.pieces:
                is_here = (piece.site, piece.layer) == (site, layer)
                if is_here and piece.readers is None:
                    x[index] = _put(x[index], piece, run_on, value(piece))
            change = row.change
            if change is not None and change.site == site and layer in change.layers:
                axis = AXES[site].index("position")
                there = change.positions + x.shape[1 + axis]
                there = dataclasses.replace(change, positions=there)
                x[index] = apply_change(there, x[[index]], layer, [0])[0]
        return x

    def versions(site: str, layer: int, x: np.ndarray):
        """Every row's own, which those of its heads read that it names."""
        x = x.copy()
        heads = next((p.readers.shape for p in pieces if p.readers is not None), None)
        if heads is None:
            return []
        readers = np.zeros((len(rows), x.shape[1], *heads), bool)
        for index, row in enumerate(rows):
            for piece in row.pieces:
                if (piece.site, piece.layer) == (site, layer):
                    x[index] = _put(x[index], piece, run_on, value(piece))
                    readers[index, -1 if piece.is_read_last else slice(None)] = (
                        piece.readers
                    )
        return [(x, readers)]

    pieces = [piece for row in rows for piece in row.pieces]
    tokens = np.repeat(asked[run_on].ids[None], len(rows), axis=0)
    logits = watched.run(tokens, visit, wanted=_wanted(rows), versions=versions)
    logits = logits[:, -1].astype(float)
    before = clean[run_on][0]
    return {
        "logits": logits[:, target.answer_ids],
        "normaliser": _normaliser(logits),
        "net": _net(before, target) - _net(logits, target),
        "loss": _loss(logits, target) - _loss(before, target),
        "kl": _kl(before, logits, target),
    }


def _wanted(rows: list[Row]) -> frozenset[str]:
    pieces = {piece.site for row in rows for piece in row.pieces}
    return frozenset(pieces | {row.change.site for row in rows if row.change})


def _clean(watched: Watched, prompt: TokenisedPrompt, rows: list[Row]):
    """Logits at the end, and what the sites hold, of the prompt as it is."""
    held: dict = {}

    def visit(site, layer, x):
        held[site, layer] = x[0]
        return x

    logits = watched.run(prompt.ids[None], visit, wanted=_wanted(rows))
    return logits[0, -1].astype(float), held


def _at(held: dict, piece: Piece, prompt: int) -> np.ndarray:
    """`[selected, …]`: what a prompt holds where a piece is read."""
    axis = AXES[piece.site].index("position")
    there = np.moveaxis(held[piece.site, piece.layer], axis, 0)
    offsets = piece.offsets if piece.read_at is None else piece.read_at
    return there[len(there) + offsets[prompt % len(offsets)]]


def _put(x: np.ndarray, piece: Piece, prompt: int, new: np.ndarray) -> np.ndarray:
    """One sequence's site with other numbers at some places, in some units."""
    axes = list(AXES[piece.site])
    axis = axes.index("position")
    out = np.moveaxis(x, axis, 0).copy()
    places = len(out) + piece.offsets[prompt % len(piece.offsets)]
    for number, place in enumerate(places):
        for unit in (None,) if piece.units is None else piece.units:
            where: tuple = () if unit is None else (unit,)
            if unit is not None and "group" in axes:
                where = divmod(unit, x.shape[axes.index("group")])
            there, goal = out[(place, *where)], new[number][where]
            if piece.through is not None:
                goal = there + (goal - there) @ piece.through[unit or 0]
            out[(place, *where)] = goal
    return np.moveaxis(out, 0, axis)


def _normaliser(logits):
    top = logits.max(-1, keepdims=True)
    return top[..., 0] + np.log(np.exp(logits - top).sum(-1))


def _net(logits, prompt: TokenisedPrompt):
    answers = logits[..., prompt.answer_ids]
    others = np.delete(answers, prompt.gold, axis=-1)
    return answers[..., prompt.gold] - others.mean(-1)


def _loss(logits, prompt: TokenisedPrompt):
    return _normaliser(logits) - logits[..., prompt.answer_ids[prompt.gold]]


def _kl(before, after, prompt: TokenisedPrompt):
    one, other = (
        a[..., prompt.answer_ids] - _normaliser(a[..., prompt.answer_ids])[..., None]
        for a in (before, after)
    )
    return (np.exp(one) * (one - other)).sum(-1)
