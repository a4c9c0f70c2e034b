"""The resumed pass: a patch for the price of what it changes.

A patch in layer l from position p on leaves all earlier tokens, and all earlier layers,
as they were. So a row (one prompt under one patch or set of patches) is born as a copy
of the clean residual at its first patched layer, and only its tokens from p on run on,
reading the prompt's keys and values. All rows advance together, layer by layer,
through the same `transformer.layer` as the full pass: weights are read once, and a
prompt's keys and values are shared by its rows. A patch at the answer position is the
case of a single token.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mcq_jax import sharding
from mcq_jax.interventions import Capture, Site
from mcq_jax.model import transformer, work
from mcq_jax.model.attention import Block
from mcq_jax.model.config import ModelConfig
from mcq_jax.model.constants import layer_constants
from mcq_jax.model.parameters import Parameters
from mcq_jax.model.positions import Places, places_of
from mcq_jax.passes.plan import Held, Here, Plan, RowEdits
from mcq_jax.passes.prompt_pass import Prefill
from mcq_jax.passes.row_captures import (
    as_a_row_sees,
    by_prompt,
    check_row_captures,
    watched,
)
from mcq_jax.passes.row_groups import RowGroup, row_groups
from mcq_jax.passes.row_shares import RowShares

_NODES = (Site.Z, Site.MLP_OUT)


@dataclasses.dataclass(frozen=True)
class Resumed:
    """What patched rows come to at the answer position."""

    # The residual stream after the last layer.
    final: Float[Array, "prompt source row width"]
    # What was captured, in the order asked for: `[layer, prompt, source, row, *site
    # axes]`, of the layers asked for.
    seen: tuple[Array, ...] = ()
    # What every node writes, `[layer, prompt, source, row, …]`; None if not kept.
    nodes: dict[Site, Array] | None = None


def resume(
    parameters: Parameters,
    start: Prefill,
    sources: Held,
    plan: Plan,
    *,
    config: ModelConfig,
    capture: Sequence[Capture] = (),
    keep_nodes: bool = False,
    rows_at_once: int | None = None,
    repeats: int = 1,
) -> Resumed:
    """Runs every prompt on under every row's patches, for every source.

    Args:
        start: the prompts that are patched.
        sources: what the plan's sites hold instead, `[layer, prompt, source, *site
            axes]` over the same suffix as `start`.
        plan: what each row patches.
        capture: what to keep of the patched runs, at positions (and keys) that count
            from the first token of the sequence, `[prompt, selected]` or the same for
            all. Rows then run from the first layer and token captured.
        keep_nodes: whether to return what all nodes write at the answer position.
        rows_at_once: rows of a prompt and source that advance together, fewer where
            memory is short. A row that runs over n tokens counts as n.
        repeats: how often a pass like this will be run, as for every chunk of a sweep:
            the more, the more programs pay for compiling them.
    """
    prompts, per_prompt = jax.tree.leaves(sources)[0].shape[1:3]
    capture = tuple(capture)
    if capture or keep_nodes:
        before_all = 0 if start.prefix is None else start.prefix.length
        ends = before_all + np.asarray(start.answer_position) + 1
        at_answer = jnp.asarray(ends[:, None] - 1)
        at_nodes = [Capture(site=site, positions=at_answer) for site in _NODES]
        capture += tuple(at_nodes * keep_nodes)
        check_row_captures(capture, ends, config, kept=start.suffix)
        plan = watched(plan, capture, ends)
    groups = row_groups(
        plan, (prompts, per_prompt), config, repeats=repeats, rows_at_once=rows_at_once
    )
    run = run_groups(
        parameters, start, sources, plan, groups, config=config, capture=capture
    )
    if not keep_nodes:
        return run
    seen, kept = run.seen[: -len(_NODES)], run.seen[-len(_NODES) :]
    nodes = {s: a[:, :, :, :, 0] for s, a in zip(_NODES, kept, strict=True)}
    return Resumed(run.final, seen, nodes)


def run_groups(
    parameters: Parameters,
    start: Prefill,
    sources: Held,
    plan: Plan,
    groups: Sequence[RowGroup],
    *,
    config: ModelConfig,
    capture: Sequence[Capture] = (),
) -> Resumed:
    """Does the same with rows cut into groups beforehand; the plan is `watched`."""
    _check_sources(sources, plan)
    longest = max(group.suffix for group in groups)
    if longest > start.suffix:
        raise ValueError(
            f"patches begin {longest} tokens from the end, and the pass kept "
            f"{start.suffix}; ask `prefill` for suffix={longest}."
        )
    copies = jax.tree.leaves(sources)[0].shape[1:3]
    finals, dealt = [], []
    # By capture and layer, the batches.
    seen = [[[] for i in range(config.layers) if c.keeps(i)] for c in capture]
    for group in groups:
        shares = RowShares.that_fill(copies, rows=group.batch)
        batches = _run_group(
            parameters, start, shares.repeat_sources(sources), plan.take(group.rows),
            group, shares, capture, seen, config=config,
        )  # fmt: skip
        finals += batches
        dealt += [shares] * len(batches)
    order = np.concatenate([group.rows for group in groups])
    places = np.unique(order, return_index=True)[1]
    found = [_seen_of(layers, places, shares=tuple(dealt)) for layers in seen]
    final = _final_of(finals, places, shares=tuple(dealt))
    runs = math.prod(final.shape[:-1])
    work.note_full_passes(final, rows=runs, tokens=_keys(start), layers=config.layers)
    return Resumed(
        final,
        tuple(c.as_asked(whole) for c, whole in zip(capture, found, strict=True)),
    )


def _check_sources(sources: Held, plan: Plan) -> None:
    for site in plan.sites:
        if site not in sources:
            raise ValueError(
                f"the plan takes {site.label} of sources, which hold "
                f"{', '.join(s.label for s in sources) or 'nothing'}; keep it in their "
                "pass."
            )
        axes = ("layer", "prompt", "source", *site.axes)
        if sources[site].ndim != len(axes):
            raise ValueError(
                f"sources hold {site.label} of shape {sources[site].shape}; give "
                f"[{', '.join(axes)}], one position for `Prefill.nodes`."
            )


def _run_group(
    parameters, start, sources, plan, group: RowGroup, shares, capture, seen, *, config
):
    """Rows in order of birth: the residuals of each batch. Adds to what is seen."""
    births = plan.births.reshape(-1, group.batch)
    births = np.stack([shares.earliest(of_batch) for of_batch in births])
    wishes = by_prompt(capture, len(start.answer_position))
    begin = functools.partial(
        _begin,
        start.resid_pre,
        start.answer_position,
        np.int32(0 if start.prefix is None else start.prefix.length),
        suffix=group.suffix,
        sources=jax.tree.leaves(sources)[0].shape[2],
        config=config,
    )
    batches, (places, *_) = zip(*map(begin, births), strict=True)
    batches, constants = list(batches), layer_constants(config)
    layer, last_seen, advanced = 0, [-1] * len(capture), 0
    for segment, blocks in zip(parameters.layers, _pasts(start), strict=True):
        for index in range(jax.tree.leaves(segment)[0].shape[0]):
            calls = group.calls(layer)
            rows = plan.rows_at(layer) if calls else None
            here = [n for n, wish in enumerate(capture) if wish.keeps(layer)]
            for number in here:
                last_seen[number] += 1
            for call in calls:
                some = slice(call.start, call.stop)
                batches[some], captured = _advance(
                    (segment, blocks, np.int32(index)),
                    (constants, sources, np.int32(layer)),
                    batches[some],
                    places,
                    shares.deal_batches(rows, call),
                    births[some].reshape(-1) <= layer,
                    [wishes[number] for number in here],
                    edits_of=plan.edits,
                    config=config,
                )
                for number, found in zip(here, captured, strict=True):
                    seen[number][last_seen[number]] += found
                advanced += len(call)
            layer += 1
    _note_work(start, batches, advanced)
    return batches


def _keys(start: Prefill) -> int:
    """Of the longest prompt, with what comes before all."""
    before_all = 0 if start.prefix is None else start.prefix.length
    return before_all + start.blocks[0].keys.shape[2]


def _note_work(start: Prefill, batches, advanced: int) -> None:
    """Notes what a group's batches `[prompt, source, row, suffix, width]` ran."""
    prompts, sources, rows, suffix, _ = batches[0].shape
    keys, runs = _keys(start), prompts * sources * rows
    work.note_rows(batches[0], rows=runs, tokens=suffix, layers=advanced, keys=keys)


def _pasts(start: Prefill) -> list[tuple[Block, ...]]:
    """Per segment the blocks that rows read: those of a shared prefix, the prompts'."""
    if start.prefix is None:
        return [(block,) for block in start.blocks]
    return list(zip(start.prefix.blocks, start.blocks, strict=True))


def _of_layer(*stacks_and_index):
    *stacks, index = stacks_and_index
    return jax.tree.map(lambda a: jnp.asarray(a)[index], stacks)


@functools.partial(jax.jit, static_argnames=("suffix", "sources", "config"))
def _begin(
    resid_pre, answer_position, before_all, births, *, suffix, sources, config
) -> tuple[Array, Places]:
    """A batch of rows, copies of the clean residual at their births, and their places.

    Returns `[prompt, source, row, suffix, width]` and places `[prompt, suffix]`.
    """
    to_answer = jnp.arange(suffix)[::-1] - before_all
    places = places_of(answer_position[:, None] - to_answer[None], config)
    born = jnp.moveaxis(resid_pre[:, :, -suffix:][births], 0, 1)[:, None]
    born = jnp.broadcast_to(born, (len(born), sources, *born.shape[2:]))
    return sharding.rows_over_data(born, leading=2), places


@functools.partial(jax.jit, static_argnames=("edits_of", "config"))
def _advance(
    segment,
    model,
    batches,
    places,
    rows,
    is_born,
    wishes=(),
    *,
    edits_of: RowEdits,
    config,
):
    """One layer for batches `[prompt, source, row, suffix, width]`; unborn rows stay.

    What it needs of the layer it picks out of stacks itself: the host would start a
    small program for each.

    Args:
        segment: parameters and blocks (of any prefix, of the prompts) of a segment, and
            which of its layers this is.
        model: constants and sources of all layers, and which of those.
        wishes: captures of this layer, by prompt; what they saw is returned for each
            of them in a list of batches.
    """
    group, (*shared, blocks) = _of_layer(*segment)
    shared = [jax.tree.map(lambda a: a[0], block) for block in shared]
    before_all = sum(block.keys.shape[0] for block in shared)
    constants, sources = _of_layer(*model)
    group = sharding.gather_weights(group)
    x = sharding.rows_over_data(jnp.concatenate(batches, axis=2), leading=2)
    suffix = x.shape[3]
    # The keys that the longest prompt has before its suffix; shorter ones mask some.
    earlier = blocks.keys.shape[1] - suffix
    # What all prompts, sources or rows share is not copied for each.
    of_prompts, of_sources, of_rows = (
        jax.tree.map(lambda a: 0 if a.shape[axis] > 1 else None, rows)  # noqa: B023
        for axis in (0, 1, 2)
    )
    rows = jax.tree.map(
        lambda a: a.reshape(*(n for n in a.shape[:3] if n > 1), *a.shape[3:]), rows
    )

    def run(x, row, source, past, places, wishes):
        here = Here(constants.layer, places.positions, before_all + earlier)
        edits = edits_of(row, source, here, config)
        past = past._replace(length=places.positions[0] - before_all)
        past = (*shared, *((past,) if earlier else ()))
        wishes = as_a_row_sees(wishes, places.positions, before_all + earlier)
        out, _, captured = transformer.layer.apply(
            group, x, past, places, constants, edits, wishes, config
        )
        return out, captured

    past = Block(
        keys=blocks.keys[:, :earlier],
        values=blocks.values[:, :earlier],
        positions=blocks.positions[:, :earlier],
        length=blocks.length,
    )
    over_rows = jax.vmap(run, in_axes=(0, of_rows, None, None, None, None))
    over_sources = jax.vmap(over_rows, in_axes=(0, of_sources, 0, None, None, None))
    over_prompts = jax.vmap(over_sources, in_axes=(0, of_prompts, 0, 0, 0, 0))
    moved, captured = over_prompts(x, rows, sources, past, places, wishes)
    x = jnp.where(is_born[None, None, :, None, None], moved, x)
    by_batch = functools.partial(jnp.split, indices_or_sections=len(batches), axis=2)
    return by_batch(x), [by_batch(found) for found in captured]


@functools.partial(jax.jit, static_argnames="shares")
def _final_of(batches, places, *, shares: tuple[RowShares, ...]):
    """The residual of each row's last token, rows in the order of the plan."""
    last = [batch[:, :, :, -1] for batch in batches]
    return _in_order(last, places, shares, axis=1)


@functools.partial(jax.jit, static_argnames="shares")
def _seen_of(layers: list[list[Array]], places, *, shares: tuple[RowShares, ...]):
    """What one capture saw, `[layer, prompt, source, row, …]`."""
    return jnp.stack([_in_order(batches, places, shares, axis=1) for batches in layers])


def _in_order(batches, places, shares, *, axis: int):
    whole = [s.join(batch, axis=axis) for s, batch in zip(shares, batches, strict=True)]
    return jnp.concatenate(whole, axis=axis + 1).take(places, axis=axis + 1)
