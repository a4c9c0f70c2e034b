"""The edits of the mutation grid: what of the heads is kept, and whose output they get.

Every subspace is seen from the heads' mean under the same mutation, so that all lie
between rank 0 and intact. Queries and keys are kept alike; values stay whole but where
it is said.
"""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from mcq_jax import metrics, passes
from mcq_jax.experiments.head_bases import Bases, Views, centred_as, fitted
from mcq_jax.experiments.route_rows import mask_of
from mcq_jax.interventions import Edit, Node, Site, patch
from mcq_jax.passes import Part
from mcq_jax.prompts import TokenBatch, TokenisedPrompt, batch_of

if TYPE_CHECKING:
    from mcq_jax.experiments.lab import Lab

INTACT, RANK_0, RESAMPLED = "intact", "rank 0", "resampled"
UNMUTATED, WITH_VALUES, OWN = "unmutated", "unmutated, values too", "own"
PLACE, LETTER = "place part", "letter part"
RANDOM, DEALT = "random directions", "dealt classes"
# In the figure's order; the controls come last.
VARIANTS = (
    INTACT, RANK_0, RESAMPLED, UNMUTATED, WITH_VALUES, OWN, PLACE, LETTER, RANDOM,
    DEALT,
)  # fmt: skip

_BOTH = (Part.QUERY, Part.KEYS)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Edits:
    """What is kept of the heads in each row of a prompt; several are draws of one."""

    variants: tuple[str, ...]
    kept: tuple[Bases, ...]

    def of(self, variant: str) -> list[int]:
        return [i for i, name in enumerate(self.variants) if name == variant]


def edits_of(
    own: Views, unmutated: Views, parts: Views | None, *, draws: int, seed: int
) -> Edits:
    """Returns the edits under one mutation.

    Args:
        own: what heads see under it, on the questions that fit.
        unmutated: the same without mutation.
        parts: the same with labels permuted, which tell place from letter; without
            them nobody can.
        draws: of each control.
    """
    of_place = fitted(own, tuple(Part), _by_place)
    centers = {key: basis.first(0) for key, basis in of_place.items()}
    main = fitted(unmutated, tuple(Part), _by_place)
    both = {key: basis for key, basis in main.items() if key[1] in _BOTH}
    found: list[tuple[str, Bases]] = [
        (RANK_0, {key: basis for key, basis in centers.items() if key[1] in _BOTH}),
        (UNMUTATED, both),
        (WITH_VALUES, main),
        (OWN, fitted(own, _BOTH, _by_place_and_letter)),
    ]
    if parts is not None:
        apart = {
            (head, part): metrics.additive_means(
                parts.rows(head, part), parts.classes(part)
            )
            for head in parts.heads
            for part in _BOTH
        }
        found += [
            (name, {key: bases[of] for key, bases in apart.items()})
            for name, of in ((PLACE, "place"), (LETTER, "letter"))
        ]
    for draw in range(draws):
        found.append((RANDOM, _random(both, seed=seed + 1000 * draw)))
        found.append((DEALT, _dealt(unmutated, seed=seed + draw)))
    return Edits(
        variants=tuple(name for name, _ in found),
        kept=tuple(centred_as(bases, centers) for _, bases in found),
    )


def _by_place(x: np.ndarray, classes) -> metrics.Basis:
    return metrics.class_means(x, classes["place"], name="place")


def _by_place_and_letter(x: np.ndarray, classes) -> metrics.Basis:
    letter = metrics.class_means(x, classes["letter"], name="letter")
    return metrics.with_directions(
        _by_place(x, classes), letter.vectors, name="place and letter"
    )


def _random(bases: Bases, *, seed: int) -> Bases:
    """As many directions for each basis, any ones."""
    found = {}
    for number, (key, basis) in enumerate(bases.items()):
        drawn = metrics.random_directions(
            max(1, basis.rank), basis.width, seed=seed + number
        )
        found[key] = dataclasses.replace(basis, vectors=drawn[: basis.rank])
    return found


def _dealt(views: Views, *, seed: int) -> Bases:
    """Means of classes that were dealt out among the rows, and mean nothing."""
    random = np.random.default_rng(seed)

    def fit(x: np.ndarray, classes) -> metrics.Basis:
        return metrics.class_means(
            x, random.permutation(classes["place"]), name="dealt classes"
        )

    return fitted(views, _BOTH, fit)


def sources_of(
    asked: Sequence[TokenisedPrompt], most: int
) -> tuple[Int[np.ndarray, "prompt source"], Bool[np.ndarray, "prompt source"]]:
    """Returns prompts of the same question whose right option has another place and
    letter, and which of them there are; a prompt without one has itself.
    """
    chosen = np.tile(np.arange(len(asked))[:, None], (1, most))
    is_there = np.zeros(chosen.shape, bool)
    by_question: dict[str, list[int]] = {}
    for index, prompt in enumerate(asked):
        by_question.setdefault(prompt.content_id, []).append(index)
    for index, prompt in enumerate(asked):
        fitting = [
            other
            for other in by_question[prompt.content_id]
            if asked[other].gold_place != prompt.gold_place
            and asked[other].gold_letter != prompt.gold_letter
        ]
        # From the prompt on, so that all serve equally often.
        fitting = sorted(fitting, key=lambda other: (other <= index, other))[:most]
        chosen[index, : len(fitting)] = fitting
        is_there[index, : len(fitting)] = True
    return chosen, is_there


def run_chunk(
    lab: "Lab",
    asked: Sequence[TokenisedPrompt],
    sources: Int[np.ndarray, "prompt source"],
    edits: Edits,
    heads: Sequence[Node],
) -> tuple[Array, Array]:
    """Returns answers and log-sum-exp `[prompt, row, …]` of prompts under all edits.

    Rows are the intact prompt, the edits, and one for each source.

    Args:
        sources: among these prompts.
    """
    config, parameters = lab.checkpoint.config, lab.checkpoint.parameters
    batch = batch_of(asked)
    start = passes.prefill(parameters, batch.ids, batch.lengths, config=config)
    rows = len(edits.kept) + sources.shape[1]
    of, which = (index.ravel() for index in np.indices((len(asked), rows)))
    number = which - len(edits.kept)
    source = np.where(number < 0, of, sources[of, np.maximum(number, 0)])
    kept = (*edits.kept, {})  # the rows with a source have nothing of this kind
    found = passes.subspace_edits(
        kept, np.minimum(which, len(edits.kept)), _rows_of(batch, of), config=config
    )
    resampled = _resampled(start, source, number >= 0, heads, batch.lengths[of], config)
    final = passes.resume_edited(
        parameters, start, (*found, resampled), of=of, config=config,
        first_layer=min(head.layer for head in heads),
    ).final.reshape(len(asked), rows, -1)  # fmt: skip
    whole = jnp.concatenate([start.final[:, None], final], axis=1)
    answers, normaliser = passes.read_answers(
        parameters.unembedding, whole, batch.answer_ids, config=config
    )
    assert normaliser is not None
    return answers, normaliser


def _resampled(
    start: passes.Prefill,
    source: Int[np.ndarray, " row"],
    is_resampled: Bool[np.ndarray, " row"],
    heads: Sequence[Node],
    lengths: Int[np.ndarray, " row"],
    config,
) -> Edit:
    """What the heads mix at the answer position, from each row's source."""
    layers = sorted({head.layer for head in heads})
    held = start.nodes[Site.Z][np.array(layers)][:, source]
    mask = mask_of([(head.layer, head.head or 0) for head in heads], config)[layers]
    weight = mask[:, None] & is_resampled[None, :, None, None]
    return patch(
        Site.Z, held[:, :, None], layers=layers, positions=lengths[:, None] - 1,
        weight=weight.astype(np.float32)[:, :, None, :, :, None],
    )  # fmt: skip


def _rows_of(batch: TokenBatch, of: Int[np.ndarray, " row"]) -> TokenBatch:
    columns = {
        field.name: getattr(batch, field.name)[of]
        for field in dataclasses.fields(batch)
    }
    return TokenBatch(**columns)
