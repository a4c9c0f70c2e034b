"""Where is an answer decided, where is it bound to a letter, and where is it used?

At each kind of token (labels, options' ends, line ends, the last token), in front of
each layer. *Used*: the residual stream of these tokens is taken from a source prompt,
all lines at once. With letters of which none is shared, only a place can go along (it
is followed where the source's right option stands); with the right option on one line
and other letters, only a letter can. *Decodable*: a linear probe reads the same off the
same tokens, beside control tasks. What can be read and moves nothing is a flag that
nobody reads; the usual evidence (Wong, Nouwen and Gatt 2026, arXiv 2601.03914) is of
the first kind.

Fresh questions only; probes are fitted on one half of them and read on the other.
"""

import dataclasses
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from mcq_jax import metrics, passes
from mcq_jax.experiments import token_probes
from mcq_jax.experiments.experiment import Experiment
from mcq_jax.experiments.prompt_options import check_at_least
from mcq_jax.experiments.query_swaps import started
from mcq_jax.experiments.swap_prompts import (
    NO_LINE,
    SwapPrompts,
    form_of,
    fresh_questions,
    swap_prompts,
)
from mcq_jax.experiments.token_kinds import kinds_of, positions_of, suffix_of
from mcq_jax.interventions import Site, patch
from mcq_jax.results import DecideThenBindFindings, UsedAt

if TYPE_CHECKING:
    from mcq_jax.experiments.lab import Lab

# Bases, with all their sources, of one pass.
_BASES = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecideThenBind(Experiment):
    """Interchanges tokens by kind and layer, and probes the same tokens."""

    name = "decide_then_bind"
    findings = DecideThenBindFindings
    needs = ("behaviour",)
    version = 2  # fresh questions pass the filter

    # Forms of swaps in which only the place, and only the letter, can go along.
    place_form: str = "random_letters"
    letter_form: str = "same_place"
    # Every so many layers.
    layer_step: int = 2
    # Control tasks of each probe.
    control_draws: int = 3
    # Fresh questions that are read, at most.
    questions: int = 60

    def __post_init__(self):
        check_at_least(self, 1, "layer_step", "control_draws")
        check_at_least(self, 2, "questions")
        place, letter = form_of(self.place_form), form_of(self.letter_form)
        if not place.covers_all or letter.each != "letter":
            raise ValueError(
                f"forms {place.name!r} of the place and {letter.name!r} of the letter; "
                "give one with a source for every place (random_letters, "
                "other_letters), and one with a source for every letter (same_place)."
            )

    def applies(self, lab: "Lab") -> bool:
        return not lab.config.are_pairs

    def run(self, lab: "Lab") -> DecideThenBindFindings:
        layers = np.arange(0, lab.checkpoint.config.layers, self.layer_step)
        fresh = fresh_questions(lab, self.questions)
        place, letter = (
            swap_prompts(lab, form, fresh)
            for form in (self.place_form, self.letter_form)
        )
        used = [_used(lab, rows, layers) for rows in (place, letter)]
        decoded, read = token_probes.decoded(
            lab, layers, self.control_draws, self.questions
        )
        questions = len(np.unique(place.questions[0]))
        return DecideThenBindFindings(
            place=used[0],
            letter=used[1],
            decoded=decoded,
            place_form=self.place_form,
            letter_form=self.letter_form,
            choices=place.choices,
            questions=questions,
            probed_questions=read,
            too_few=questions < metrics.FEWEST,
        )


def _used(lab: "Lab", rows: SwapPrompts, layers: np.ndarray) -> tuple[UsedAt, ...]:
    """What follows the source with each kind of token, in front of each layer."""
    kinds = kinds_of(rows.bases, rows.sources)
    table = _measure(lab, rows, kinds, layers)
    chosen = table["patched_logits"].argmax(axis=-1)  # [row, kind, layer]
    own = np.array([rows.bases[i].gold for i in rows.base])
    line = rows.lines[rows.form.each]
    counts = line != NO_LINE
    sides = [side[counts] for side in rows.questions]
    seed = lab.config.seed

    def follows(picked: np.ndarray) -> metrics.Interval:
        if rows.form.covers_all:
            return metrics.follow_d(
                picked, line[counts], *sides, choices=rows.choices, seed=seed
            ).value
        return metrics.share_two_way(picked == line[counts], *sides, seed=seed)

    return tuple(
        UsedAt(
            tokens=kind,
            layer=int(layer),
            follows=follows(chosen[counts, k, at]),
            stays=metrics.share_two_way(
                chosen[counts, k, at] == own[counts], *sides, seed=seed
            ),
        )
        for k, kind in enumerate(kinds)
        for at, layer in enumerate(layers)
    )


def _measure(
    lab: "Lab", rows: SwapPrompts, kinds: tuple[str, ...], layers: np.ndarray
) -> dict[str, np.ndarray]:
    """The table `decide_then_bind`: answers by row, kind of token and layer."""
    chunks = rows.chunks(_BASES)
    size = max(len(chunk) for chunk in chunks)
    made_of = rows.identity | {"kinds": list(kinds), "layers": layers}
    table = lab.table("decide_then_bind", made_of).complete(
        chunks,
        lambda chunk: _of_chunk(lab, rows, chunk, kinds, layers, size),
        lambda chunk, found: {"row": chunk, "patched_logits": found},
        track=lab.track(f"interchanging tokens ({rows.form.name})"),
    )
    order = np.argsort(table["row"])
    return {name: column[order] for name, column in table.items()}


def _of_chunk(
    lab: "Lab",
    found: SwapPrompts,
    chunk: np.ndarray,
    kinds: tuple[str, ...],
    layers: np.ndarray,
    size: int,
) -> Float[Array, "row kind layer choice"]:
    rows = np.pad(chunk, (0, max(0, size - len(chunk))), mode="edge")
    bases = [found.bases[i] for i in found.base[rows]]
    sources = [found.sources[i] for i in rows]
    suffix = suffix_of((*found.bases, *found.sources))
    start, of, source, lengths = started(lab, found, rows, suffix)
    final = []
    for kind in kinds:
        to, taken = positions_of(bases, kind), positions_of(sources, kind)
        assert to is not None and taken is not None
        behind = taken - lengths[source][:, None] + suffix
        for layer in layers.tolist():
            final.append(interchange_tokens(lab, start, of, source, to, behind, layer))
    logits, _ = passes.read_answers(
        lab.checkpoint.parameters.unembedding, jnp.stack(final, axis=1),
        np.stack([prompt.answer_ids for prompt in bases]),
        config=lab.checkpoint.config, full_vocabulary=False,
    )  # fmt: skip
    shape = (len(rows), len(kinds), len(layers), -1)
    return logits.reshape(shape)[: len(chunk)]


def interchange_tokens(
    lab: "Lab",
    start: passes.Prefill,
    of: Int[np.ndarray, " row"],
    source: Int[np.ndarray, " row"],
    to: Int[np.ndarray, "row selected"],
    taken: Int[np.ndarray, "row selected"],
    layer: int,
) -> Float[Array, "row width"]:
    """The last residual of rows whose tokens are, in front of a layer, the source's.

    Args:
        to: positions in the base.
        taken: where in what the pass kept of the source.
    """
    value = start.resid_pre[layer][source[:, None], taken]
    edit = patch(Site.RESID_PRE, value[None], layers=[layer], positions=to)
    return passes.resume_edited(
        lab.checkpoint.parameters, start, [edit], of=of,
        config=lab.checkpoint.config, first_layer=layer,
    ).final  # fmt: skip
