"""`run_wired`: the answer position of a run in which only some edges carry news.

Two runs of prompts that are aligned token by token: a *base*, and an *other*. In a row
every node of a wiring reads the base, but for the wires drawn: along these comes what
the sender writes in this very row, and of earlier tokens what the other prompt has
there. All wires drawn are the other run, none is the base. Nodes outside the wiring
write what they write in the base. A wire can also *bring*: what its sender writes in
the other run, whatever reaches it here; so single edges are patched.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from mcq_jax.arguments import require_places
from mcq_jax.axes import AnyArray
from mcq_jax.interventions import Capture, Node, Site, patch
from mcq_jax.interventions.circuits import FINAL, HEAD_INPUTS
from mcq_jax.model import ModelConfig, Parameters, work
from mcq_jax.model.attention import head_writes
from mcq_jax.model.blocks import Block
from mcq_jax.model.constants import layer_constants
from mcq_jax.model.direct import output_weights
from mcq_jax.model.positions import places_of
from mcq_jax.model.run import layer_over_rows
from mcq_jax.passes import Prefill
from mcq_jax.paths.wires import TOKEN_INPUTS, Wiring

# What `prefill` has to keep of the prompts.
WIRED_SITES = (Site.RESID_MID,)


def run_wired(
    parameters: Parameters,
    start: Prefill,
    wiring: Wiring,
    drawn: Bool[np.ndarray, "row wire"],
    *,
    base: Int[AnyArray, " prompt"],
    other: Int[AnyArray, " prompt"],
    kinds: Int[AnyArray, "prompt key"],
    config: ModelConfig,
    brings: Bool[np.ndarray, "row wire"] | None = None,
) -> Float[Array, "prompt row width"]:
    """Returns the last residual stream of every row, for every pair of prompts.

    Args:
        start: a pass over all of these prompts that kept `WIRED_SITES`, without a
            prefix of its own.
        drawn: which wires carry what their sender writes in the row.
        base, other: prompts as places in `start`; aligned, with the same last token.
        kinds: of each earlier token, as an index into the wiring's tokens; -1 is read
            as in the base.
        brings: which wires carry what their sender writes in the other run.
    """
    base, other, kinds = map(np.asarray, (base, other, kinds))
    padding = start.blocks[0].keys.shape[2] - kinds.shape[1]
    kinds = np.pad(kinds, ((0, 0), (0, padding)), constant_values=-1)
    _check(start, wiring, base, other, config)
    require_places(kinds + 1, len(wiring.tokens) + 1, "kinds of tokens, plus 1,")
    brings = np.zeros_like(drawn) if brings is None else brings
    walk = _Walk(parameters, start, wiring, base, other, config, len(drawn))
    first = wiring.first_layer(drawn, brings)
    # In front of the first news all is as in the base.
    for layer in range(config.layers if first is None else first, config.layers):
        heads = [n for n in wiring.nodes if n.layer == layer and n.head is not None]
        if heads:
            walk.heads(layer, heads, drawn, brings, kinds)
        if Node(layer) in wiring.nodes:
            walk.block(layer, drawn, brings)
    final = walk.final(drawn, brings)
    runs, length = len(base) * len(drawn), start.blocks[0].keys.shape[2]
    work.note_full_passes(final, rows=runs, tokens=length, layers=config.layers)
    return final


class _Walk:
    """One pass over the layers; what nodes write in the rows less what in the base."""

    def __init__(self, parameters, start, wiring, base, other, config, rows):
        self.parameters, self.start, self.wiring = parameters, start, wiring
        self.base, self.other, self.config = base, other, config
        width = (len(wiring.nodes), config.width)
        # [prompt, row, sender, width], and of the other run [prompt, sender, width].
        self.changes = jnp.zeros((len(base), rows, *width))
        self.brought = jnp.stack([self._brought(n) for n in wiring.nodes], axis=1)
        self.constants = layer_constants(config)

    def heads(self, layer: int, heads: Sequence[Node], drawn, brings, kinds) -> None:
        """Runs some heads of a layer."""
        wiring, start = self.wiring, self.start
        senders, bringers = (
            np.stack([
                [wiring.of_input(which, head, site) for site in HEAD_INPUTS]
                for head in heads
            ])  # [head, input, row, sender]
            for which in (drawn, brings)
        )  # fmt: skip
        tokens = np.stack([
            [wiring.of_tokens(drawn | brings, head, site) for site in TOKEN_INPUTS]
            for head in heads
        ])  # fmt: skip
        group, index, block = self._weights(layer)
        numbers = np.array([divmod(h.head or 0, self.config.group) for h in heads])
        past = [
            (block.keys[index, who], block.values[index, who])
            for who in (self.base, self.other)
        ]
        changes = _run_heads(
            group, index, self._constants_of(layer),
            start.resid_pre[layer, self.base, -1],
            start.nodes[Site.Z][layer, self.base],
            (self.changes, self.brought), (senders, bringers), tokens, numbers, past,
            block.positions[index, self.base], start.answer_position[self.base],
            jnp.asarray(kinds), config=self.config,
        )  # fmt: skip
        places = [wiring.nodes.index(head) for head in heads]
        self.changes = self.changes.at[:, :, np.array(places)].set(changes)
        self._note_rows(len(heads) * _attention_share(group))

    def block(self, layer: int, drawn, brings) -> None:
        """Runs a layer's feed-forward block."""
        node, start = Node(layer), self.start
        masks = [
            self.wiring.of_input(which, node, Site.MLP_IN)[None]
            for which in (drawn, brings)
        ]
        group, index, _ = self._weights(layer)
        change = _run_block(
            group, index, self._constants_of(layer),
            start.activations[Site.RESID_MID][layer, self.base, -1],
            start.nodes[Site.MLP_OUT][layer, self.base],
            (self.changes, self.brought), masks, start.answer_position[self.base],
            config=self.config,
        )  # fmt: skip
        place = self.wiring.nodes.index(node)
        self.changes = self.changes.at[:, :, place].set(change)
        self._note_rows(1 - _attention_share(group))

    def _note_rows(self, layers: float) -> None:
        prompts, rows = self.changes.shape[:2]
        keys = self.start.blocks[0].keys.shape[2]
        work.note_rows(
            self.changes, rows=prompts * rows, tokens=1, layers=layers, keys=keys
        )

    def final(self, drawn, brings) -> Float[Array, "prompt row width"]:
        masks = [
            self.wiring.of_input(which, None, FINAL.site)[None]
            for which in (drawn, brings)
        ]
        clean = self.start.final[self.base]
        return _arriving(clean, (self.changes, self.brought), *masks)[:, :, 0]

    def _weights(self, layer: int):
        """A layer's segment, its index there, and the prompts' keys and values."""
        for group, block in zip(self.parameters.layers, self.start.blocks, strict=True):
            size = jax.tree.leaves(group)[0].shape[0]
            if layer < size:
                return group, layer, block
            layer -= size
        raise AssertionError(layer)

    def _constants_of(self, layer: int):
        return jax.tree.map(lambda a: np.asarray(a)[layer], self.constants)

    def _brought(self, node: Node) -> Float[Array, "prompt width"]:
        """What a node writes in the other run, less what in the base."""
        if node.head is None:
            held = self.start.nodes[Site.MLP_OUT][node.layer]
            return _minus(held[self.other], held[self.base])
        z = self.start.nodes[Site.Z][node.layer]
        unit = divmod(node.head, self.config.group)
        change = _minus(z[self.other], z[self.base])[:, unit[0], unit[1]]
        group, index, _ = self._weights(node.layer)
        attention = jax.tree.map(lambda a: a[index], group["attention"])
        output, _ = output_weights(attention, self.config)
        return head_writes(change[:, None, None], output[unit][None, None])[:, 0, 0]


def _attention_share(group) -> float:
    """Of a layer's weights."""
    attention, whole = (
        sum(leaf.size for leaf in jax.tree.leaves(tree))
        for tree in (group["attention"], group)
    )
    return attention / whole


@functools.partial(jax.jit, static_argnames="config")
def _run_heads(
    group, index, constants, resid, z, sent, masks, tokens, numbers, past, positions,
    answer, kinds, *, config,
):  # fmt: skip
    """What heads write less what they wrote, `[prompt, row, head, width]`.

    Each head of each row is a row of its own to the layer function, which so runs as it
    always does: queries come from what the head's query reads, keys and values of the
    answer position are patched in.
    """
    heads, _, rows, _ = masks[0].shape
    prompts, group_here = len(resid), jax.tree.map(lambda a: a[index], group)
    read = _arriving(resid, sent, *(m.reshape(-1, *m.shape[2:]) for m in masks))
    read = read.reshape(prompts, rows, heads, len(HEAD_INPUTS), config.width)
    inputs = [
        read[:, :, :, at].reshape(-1, 1, config.width) for at in range(len(HEAD_INPUTS))
    ]
    count = rows * heads
    places = places_of(jnp.repeat(answer, count)[:, None], config)

    def run(x, site, past=(), edits=()):
        return layer_over_rows(
            x, places, group_here, past, constants, edits, [Capture(site=site)], config
        )[2][0]

    own = [
        patch(site, run(x, site)[None])
        for site, x in zip(TOKEN_INPUTS, inputs[1:], strict=True)
    ]
    # Which keys of which row are the other prompt's: [prompt, row, head, key].
    is_kind = jax.nn.one_hot(kinds, tokens.shape[-1])  # -1 is none
    tokens = jnp.asarray(tokens).astype(jnp.float32)
    keys, values = (
        jnp.where(
            jnp.einsum("hrk,ptk->prht", tokens[:, part], is_kind)[..., None, None] > 0,
            past[1][part][:, None, None],
            past[0][part][:, None, None],
        ).reshape(-1, *past[0][part].shape[1:])
        for part in range(2)
    )
    block = Block(
        keys, values, jnp.repeat(positions, count, axis=0), jnp.repeat(answer, count)
    )
    mixed = run(inputs[0], Site.Z, (block,), own)
    which = jnp.tile(jnp.arange(heads), prompts * rows)
    each = jnp.arange(len(which))
    mixed = mixed[each, 0, numbers[which, 0], numbers[which, 1]]
    mixed = mixed.reshape(prompts, rows, heads, -1)
    clean = z[:, numbers[:, 0], numbers[:, 1]]  # [prompt, head, head_width]
    output, _ = output_weights(group_here["attention"], config)
    output = output[numbers[:, 0], numbers[:, 1]]
    change = _minus(mixed, clean[:, None])
    return jnp.einsum(
        "prhd,hdw->prhw", change, output, precision=jax.lax.Precision.HIGHEST
    )


@functools.partial(jax.jit, static_argnames="config")
def _run_block(group, index, constants, mid, out, sent, masks, answer, *, config):
    """What a block writes less what it wrote, `[prompt, row, width]`."""
    x = _arriving(mid, sent, *masks)[:, :, 0]
    prompts, rows, width = x.shape
    x = x.reshape(-1, 1, width)
    places = places_of(jnp.repeat(answer, rows)[:, None], config)
    (found,) = layer_over_rows(
        x, places, jax.tree.map(lambda a: a[index], group), (), constants,
        (patch(Site.RESID_MID, x[None]),), [Capture(site=Site.MLP_OUT)], config,
    )[2]  # fmt: skip
    return _minus(found.reshape(prompts, rows, width), out[:, None])


def _arriving(
    clean: Float[Array, "prompt width"],
    sent: tuple[
        Float[Array, "prompt row sender width"], Float[Array, "prompt sender width"]
    ],
    follows: Bool[AnyArray, "input row sender"],
    brings: Bool[AnyArray, "input row sender"],
) -> Float[Array, "prompt row input width"]:
    """What inputs read: the base, and what comes along their wires."""
    exact = jax.lax.Precision.HIGHEST
    changes, brought = sent
    follows, brings = (jnp.asarray(a).astype(jnp.float32) for a in (follows, brings))
    news = jnp.einsum("irs,prsw->priw", follows, changes, precision=exact)
    news = news + jnp.einsum("irs,psw->priw", brings, brought, precision=exact)
    return (clean[:, None, None].astype(jnp.float32) + news).astype(clean.dtype)


def _minus(one: Array, other: Array) -> Array:
    return one.astype(jnp.float32) - other.astype(jnp.float32)


def _check(start, wiring: Wiring, base, other, config: ModelConfig) -> None:
    for name in ("parallel", "post_norm"):
        if getattr(config, name):
            raise ValueError(
                f"wires of a model with {name}=True; they take for granted that "
                "attention comes before the feed-forward block, and that what heads "
                "write is added as it is."
            )
    for site in WIRED_SITES:
        if site not in start.activations:
            raise ValueError(
                f"the pass kept no {site}; give `prefill` sites=WIRED_SITES."
            )
    if start.prefix is not None:
        raise ValueError("the pass has a prefix of its own; run whole prompts.")
    answers = np.asarray(start.answer_position)
    require_places(base, len(answers), "base prompts")
    require_places(other, len(answers), "other prompts")
    if len(base) != len(other) or (answers[base] != answers[other]).any():
        raise ValueError(
            "a base and another prompt of different length; give pairs that are "
            "aligned token by token."
        )
    last = [n for n in wiring.nodes if n.layer >= config.layers]
    if last or any((n.head or 0) >= config.heads for n in wiring.nodes):
        raise ValueError(
            f"a wiring names nodes beyond {config.layers} layers of {config.heads} "
            "heads; name the model's own."
        )
