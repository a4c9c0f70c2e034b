"""Do heads ask for a place, a letter or a content? Their queries swapped.

A base prompt answers while some heads' queries, or the whole residual stream of its
last token, are those of a source prompt (`prompts.SWAP_FORMS`). What the source points
to stands on different lines of the base, or nowhere: with random letters that have none
in common only a place can be followed; where the source asks for another of the base's
options, its place, its letter and its content are three lines, the base's own a fourth.

Fresh questions only: none of those that were studied, by which heads were named.
"""

import dataclasses
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from mcq_jax import passes
from mcq_jax.experiments.experiment import Experiment
from mcq_jax.experiments.prompt_options import check_at_least
from mcq_jax.experiments.route_rows import (
    heads_of,
    mask_of,
    random_heads,
)
from mcq_jax.experiments.swap_prompts import (
    SwapPrompts,
    form_of,
    fresh_questions,
    swap_prompts,
)
from mcq_jax.experiments.swap_reading import describe
from mcq_jax.interventions import Capture, Site, patch
from mcq_jax.prompts import KeyClass, TokenisedPrompt, key_classes
from mcq_jax.results import LETTER_HEADS, RANDOM_HEADS, QuerySwapsFindings

if TYPE_CHECKING:
    from mcq_jax.experiments.lab import Lab

NAMED_HEADS, RESIDUAL = "named heads", "residual stream"
# Bases, with all their sources, of one pass.
_BASES = 4
_OF_LINES = (KeyClass.LABEL, KeyClass.OPTION, KeyClass.LINE_END)


@dataclasses.dataclass(frozen=True, kw_only=True)
class QuerySwaps(Experiment):
    """Puts queries, or the residual at the last token, of one prompt into another."""

    name = "query_swaps"
    findings = QuerySwapsFindings
    needs = ("behaviour",)
    uses = ("head_classes",)
    version = 3  # fresh questions pass the filter

    # Names of forms, see docs/semantics.md: random_letters, ordered_sets, shuffled,
    # four_lines, across_counts, …; MIB's answerPosition, randomLetter,
    # answerPosition_randomLetter.
    forms: tuple[str, ...] = ("random_letters", "ordered_sets", "shuffled")
    # Heads such as L21H3; where left out the correct-letter heads, if head_classes ran.
    heads: tuple[str, ...] = ()
    # Every so many layers the whole residual is interchanged.
    layer_step: int = 1
    random_draws: int = 2
    # Fresh questions that are read, at most.
    questions: int = 60

    def __post_init__(self):
        check_at_least(self, 1, "layer_step", "random_draws")
        check_at_least(self, 2, "questions")
        for form in self.forms:
            form_of(form)

    def applies(self, lab: "Lab") -> bool:
        return not lab.config.are_pairs

    def run(self, lab: "Lab") -> QuerySwapsFindings:
        heads = heads_of(lab, self.heads)
        who = NAMED_HEADS if self.heads else LETTER_HEADS
        swaps = swaps_of(lab, who, heads, self.random_draws, self.layer_step)
        fresh, forms = fresh_questions(lab, self.questions), []
        for name in self.forms:
            rows = swap_prompts(lab, name, fresh)
            table = measure(lab, rows, swaps)
            forms.append(describe(rows, swaps.titles, table, seed=lab.config.seed))
        return QuerySwapsFindings(
            forms=tuple(forms),
            letter_heads=tuple(f"L{layer}H{head}" for layer, head in heads),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Swaps:
    """What is put into the base: some heads' queries, or the residual of a layer."""

    names: tuple[str, ...]
    heads: Bool[np.ndarray, "swap layer kv_head group"]
    layers: Int[np.ndarray, " layer"]
    # Whose attention is read while the first swap is made: all of its own.
    watched: tuple[tuple[int, int], ...]

    @property
    def titles(self) -> list[tuple[str, int | None]]:
        """Who, and from which layer on."""
        found: list[tuple[str, int | None]] = [(name, None) for name in self.names]
        return found + [(RESIDUAL, int(layer)) for layer in self.layers]


def swaps_of(
    lab: "Lab",
    who: str,
    heads: tuple[tuple[int, int], ...],
    draws: int,
    layer_step: int,
) -> Swaps:
    """Returns swaps of heads together, each alone, random ones, and the residual."""
    config = lab.checkpoint.config
    drawn = list(random_heads(heads, config.heads, draws, lab.config.seed))
    sets = [heads, *([head] for head in heads), *drawn] if heads else []
    shape = (config.layers, config.kv_heads, config.group)
    return Swaps(
        names=(
            who,
            *(f"L{layer}H{head}" for layer, head in heads),
            *(RANDOM_HEADS for _ in drawn),
        )
        if heads
        else (),
        heads=np.array([mask_of(each, config) for each in sets], bool).reshape(
            -1, *shape
        ),
        layers=np.arange(0, config.layers, layer_step),
        watched=heads,
    )


def measure(lab: "Lab", found: SwapPrompts, swaps: Swaps) -> dict[str, np.ndarray]:
    """The table `query_swaps`: what every base answers under every swap.

    base_logits and patched_logits are of the base's answers, source_logits of the
    source's; attention is each watched head's on the base's lines, out of all of it
    (no column where none is watched).
    """
    made_of = {**found.identity, "swaps": swaps}
    chunks = found.chunks(_BASES)
    size = max(len(chunk) for chunk in chunks)
    names = ["base_logits", "source_logits", "patched_logits"]
    names += ["attention"] if swaps.watched else []
    table = lab.table("query_swaps", made_of).complete(
        chunks,
        lambda chunk: _of_chunk(lab, found, chunk, swaps, size),
        lambda chunk, made: {"row": chunk, **dict(zip(names, made, strict=False))},
        track=lab.track(f"swapping queries ({found.form.name})"),
    )
    order = np.argsort(table["row"])
    return {name: column[order] for name, column in table.items()}


def _of_chunk(
    lab: "Lab", found: SwapPrompts, chunk: np.ndarray, swaps: Swaps, size: int
) -> tuple[Array, ...]:
    rows = np.pad(chunk, (0, max(0, size - len(chunk))), mode="edge")
    start, of, source, lengths = started(lab, found, rows)
    bases = [found.bases[i] for i in found.base[rows]]
    own = np.stack([prompt.answer_ids for prompt in bases])
    others = np.stack([found.sources[i].answer_ids for i in rows])

    def read(final: Array, answers: np.ndarray) -> Float[Array, "row *swap choice"]:
        return passes.read_answers(
            lab.checkpoint.parameters.unembedding, final, answers,
            config=lab.checkpoint.config, full_vocabulary=False,
        )[0]  # fmt: skip

    patched, pattern = [], np.zeros((len(rows), 0, start.blocks[0].keys.shape[2]))
    if len(swaps.heads):
        final, pattern = _swapped(lab, start, of, source, lengths, swaps)
        patched.append(final)
    patched += [
        _moved(lab, start, of, source, lengths, int(layer))[:, None]
        for layer in swaps.layers
    ]
    kept = slice(len(chunk))
    return (
        read(start.final[of][:, None], own)[kept, 0],
        read(start.final[source][:, None], others)[kept, 0],
        read(jnp.concatenate(patched, axis=1), own)[kept],
        jnp.asarray(on_lines(bases, np.asarray(pattern)))[kept],
    )


def started(lab: "Lab", found: SwapPrompts, rows: np.ndarray, suffix: int = 1):
    """Bases and sources, run once: the pass, and where each row's two stand in it.

    Args:
        suffix: last tokens that are kept; of one token queries, too.
    """
    numbers, of = np.unique(found.base[rows], return_inverse=True)
    numbers = np.pad(numbers, (0, max(0, _BASES - len(numbers))), mode="edge")
    asked = [found.bases[i] for i in numbers] + [found.sources[i] for i in rows]
    lengths = np.array([len(prompt.ids) for prompt in asked])
    ids = np.zeros((len(asked), -(-lengths.max() // 16) * 16), np.int32)
    for row, prompt in zip(ids, asked, strict=True):
        row[: len(prompt.ids)] = prompt.ids
    start = passes.prefill(
        lab.checkpoint.parameters, ids, lengths, config=lab.checkpoint.config,
        suffix=suffix, sites=(Site.Q,) if suffix == 1 else (),
    )  # fmt: skip
    return start, of, len(numbers) + np.arange(len(rows)), lengths


def _swapped(lab, start, of, source, lengths, swaps: Swaps) -> tuple[Array, Array]:
    """The last residual `[row, swap, width]`; attention of watched heads [row, …, key].

    All swaps of queries are rows of one pass.
    """
    config, count = lab.checkpoint.config, len(swaps.heads)
    many, taken = np.repeat(of, count), np.repeat(source, count)
    masks = np.tile(np.moveaxis(swaps.heads, 0, 1), (1, len(of), 1, 1))
    answer = (lengths[many] - 1)[:, None]
    edit = patch(
        Site.Q, start.activations[Site.Q][:, taken], layers=range(config.layers),
        positions=answer, weight=masks[:, :, None, ..., None].astype(np.float32),
    )  # fmt: skip
    keys = np.arange(start.blocks[0].keys.shape[2])
    seen = Capture(
        site=Site.PATTERN, positions=jnp.asarray(answer),
        keys=jnp.asarray(np.minimum(keys[None], answer)),
    )  # fmt: skip
    found = passes.resume_edited(
        lab.checkpoint.parameters, start, [edit], of=many, config=config, capture=seen
    )
    final = found.final.reshape(len(of), count, -1)
    # [layer, row, kv_head, group, position, key]
    pattern = found.activations[Site.PATTERN][:, ::count, :, :, 0]
    heads = [(layer, *divmod(head, config.group)) for layer, head in swaps.watched]
    return final, jnp.stack([pattern[at, :, kv, g] for at, kv, g in heads], axis=1)


def _moved(lab, start, of, source, lengths, layer: int) -> Array:
    """The same with the whole residual of the last token from the sources."""
    edit = patch(
        Site.RESID_PRE, start.resid_pre[layer, source][None], layers=[layer],
        positions=(lengths[of] - 1)[:, None],
    )  # fmt: skip
    return passes.resume_edited(
        lab.checkpoint.parameters, start, [edit], of=of,
        config=lab.checkpoint.config, first_layer=layer,
    ).final  # fmt: skip


def on_lines(
    bases: list[TokenisedPrompt], pattern: Float[np.ndarray, "row head key"]
) -> Float[np.ndarray, "row head choice"]:
    """Attention on each line: its label, its option and what ends it."""
    choices = len(bases[0].answer_ids)
    found = np.zeros((*pattern.shape[:2], choices), np.float32)
    for row, prompt in enumerate(bases):
        kinds, options = key_classes(prompt)
        is_of = np.isin(kinds, _OF_LINES) & (options >= 0)
        lines = (options[:, None] == np.arange(choices)) & is_of[:, None]
        found[row] = pattern[row][:, : len(kinds)] @ lines
    return found
