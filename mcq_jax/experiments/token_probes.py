"""What linear probes read off tokens of a kind, layer by layer; control tasks too."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Int

from mcq_jax import metrics, passes
from mcq_jax.experiments.swap_prompts import fresh_prompts
from mcq_jax.experiments.token_kinds import LAST, kinds_of, positions_of, suffix_of
from mcq_jax.prompts import TokenisedPrompt, batches
from mcq_jax.results import DecodedAt

if TYPE_CHECKING:
    from mcq_jax.experiments.lab import Lab

CORRECT, PLACE, LETTER = "correct", "place", "letter"


def decoded(
    lab: "Lab", layers: np.ndarray, draws: int, questions: int
) -> tuple[tuple[DecodedAt, ...], int]:
    """Returns what can be read where, and on how many questions it was read."""
    asked = fresh_prompts(lab, "permuted", questions)
    question = np.array([prompt.content_id for prompt in asked])
    fitting = metrics.split_by_question(question, fraction=0.5, seed=lab.config.seed)
    kinds = kinds_of(asked)
    wanted = [
        (kind, what)
        for kind in kinds
        for what in ((PLACE, LETTER) if kind == LAST else (CORRECT, PLACE, LETTER))
    ]
    table = _measure(lab, asked, question, fitting, kinds, wanted, layers, draws)
    read = question[~fitting]
    found = []
    for row in np.argsort(table["layer_number"]):
        for number, (kind, what) in enumerate(wanted):
            hits = table["hits"][row, number].astype(bool)  # [probe, read]
            about = metrics.probed(hits[0], hits[1:], read, seed=lab.config.seed)
            found.append(
                DecodedAt(
                    tokens=kind, layer=int(layers[table["layer_number"][row]]),
                    what=what, accuracy=about.accuracy, control=about.control,
                    selectivity=about.selectivity,
                )
            )  # fmt: skip
    return tuple(found), len(np.unique(read))


def _measure(
    lab: "Lab",
    asked: list[TokenisedPrompt],
    question: np.ndarray,
    fitting: Bool[np.ndarray, " prompt"],
    kinds: tuple[str, ...],
    wanted: list[tuple[str, str]],
    layers: np.ndarray,
    draws: int,
) -> dict[str, np.ndarray]:
    """The table `token_probes`, a part for each layer: hits of probes and controls."""
    place = np.array([prompt.gold_place for prompt in asked])
    letter = np.array([prompt.gold_letter for prompt in asked])
    choices = len(asked[0].answer_ids)
    cells = choices * place + letter
    controls = [
        metrics.control_classes(cells, choices, seed=lab.config.seed + draw)
        for draw in range(draws)
    ]
    held: dict[str, np.ndarray] = {}

    def read(what: str, kind: str, layer: int, target: np.ndarray) -> np.ndarray:
        if not held:  # not where the table is there
            held.update(_hold(lab, asked, kinds, layers))
        x = held[kind][layer]  # [prompt, selected, width]
        if what == CORRECT:
            found = metrics.probe_lines(x, target, question, fitting)
        else:
            flat = x.reshape(len(x), -1)
            found = metrics.probe_classes(flat, target, question, fitting)
        return found == target[~fitting]

    def work(chunk: np.ndarray) -> np.ndarray:
        return np.stack([
            np.stack([
                np.stack([
                    read(what, kind, int(layer), target)
                    for target in (letter if what == LETTER else place, *controls)
                ])
                for kind, what in wanted
            ])
            for layer in chunk
        ]).astype(np.int8)  # fmt: skip

    made_of = {
        "prompts": [prompt.identity for prompt in asked],
        "fitting": fitting,
        "wanted": [list(pair) for pair in wanted],
        "layers": layers,
        "draws": draws,
        "seed": lab.config.seed,
    }
    return lab.table("token_probes", made_of).complete(
        [np.array([number]) for number in range(len(layers))],
        work,
        lambda chunk, hits: {"layer_number": chunk, "hits": hits},
        track=lab.track("probing tokens"),
    )


def _hold(
    lab: "Lab", asked: list[TokenisedPrompt], kinds: tuple[str, ...], layers: np.ndarray
) -> dict[str, Float[np.ndarray, "layer prompt selected width"]]:
    """The residual in front of some layers, at the tokens of each kind."""
    suffix = suffix_of(asked)
    places: dict[str, Int[np.ndarray, "prompt selected"]] = {}
    for kind in kinds:
        found = positions_of(asked, kind)
        assert found is not None
        places[kind] = found
    width = lab.checkpoint.config.width
    held = {
        kind: np.zeros((len(layers), *where.shape, width), np.float32)
        for kind, where in places.items()
    }
    for index, resid in _passes(lab, asked, suffix):
        for kind, where in places.items():
            lengths = np.array([len(asked[i].ids) for i in index])
            behind = where[index] - lengths[:, None] + suffix
            rows = np.arange(len(index))[:, None]
            held[kind][:, index] = resid[layers][:, rows, behind]
    return held


def _passes(lab: "Lab", asked: list[TokenisedPrompt], suffix: int) -> Iterator:
    for batch in batches(asked, size=lab.config.batch):
        run = passes.prefill(
            lab.checkpoint.parameters, batch.ids, batch.lengths,
            config=lab.checkpoint.config, suffix=suffix,
        )  # fmt: skip
        yield batch.index, np.asarray(run.resid_pre, np.float32)
