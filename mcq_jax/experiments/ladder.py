"""How far does a description of queries, keys and values carry? One nested ladder.

In place of what the correct-letter heads see at the answer position stands what a
description says of it: their mean, the mean for a place, for a letter, both, and the
right option seen before, every pair of them (the head as pseudocode), a subspace of
rank k, all of it. Recovered is how far net logit comes from the first to the last, all
these heads together; queries, label keys and label values by themselves and jointly.

Means and subspaces are fitted on some questions and read on others. Four labels span
three dimensions, so that three dimensions do is no finding by itself: random subspaces
of as many stand beside every rung, and the number of options can vary between sets.
"""

import dataclasses
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from mcq_jax import metrics, passes
from mcq_jax.experiments.behaviour import fresh_names
from mcq_jax.experiments.experiment import Experiment
from mcq_jax.experiments.ladder_findings import describe
from mcq_jax.experiments.ladder_fits import Fits, Lines
from mcq_jax.experiments.ladder_rungs import Rung, rungs_of
from mcq_jax.experiments.prompt_options import check_at_least
from mcq_jax.experiments.prompt_set import PromptSet
from mcq_jax.experiments.route_rows import letter_heads
from mcq_jax.experiments.study import split_in_two
from mcq_jax.interventions import Node, Site
from mcq_jax.passes import Frame, Part
from mcq_jax.prompts import TokenBatch, batch_of
from mcq_jax.results import LadderFindings

if TYPE_CHECKING:
    from mcq_jax.experiments.config import RunConfig
    from mcq_jax.experiments.lab import Lab

# Rows resumed at once: each has a basis of its own for every head.
_ROWS = 256


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ladder(Experiment):
    """Puts descriptions in place of what correct-letter heads see."""

    name = "ladder"
    findings = LadderFindings
    needs = ("head_classes",)
    version = 3  # fresh questions pass the filter

    # Names of prompt sets; permuted labels tell a place from a letter, and sets with
    # other numbers of options say how the rank grows. See the card's other_prompts.
    sets: tuple[str, ...] = ("main",)
    ranks: tuple[int, ...] = (1, 2, 3, 4, 6, 8)
    # Random subspaces of each rank, whose mean stands beside the rungs.
    random_draws: int = 2
    # How queries and keys are compared across prompts: QUERY, in which their products
    # are the model's scores, or PRE_ROTATION, without distance.
    frame: str = "QUERY"
    # What share of the effect counts as enough, for the number of dimensions needed.
    enough: float = 0.9
    # Questions that are read, at most.
    questions: int = 40

    def __post_init__(self):
        check_at_least(self, 1, "random_draws", "questions")
        if not self.ranks or min(self.ranks) < 1 or not 0 < self.enough < 1:
            raise ValueError(
                f"ranks of {self.ranks} and enough at {self.enough}; give ranks from "
                "1 up, and a share between 0 and 1."
            )
        if self.frame not in Frame.__members__:
            raise ValueError(f"the frame {self.frame!r}; give QUERY, or PRE_ROTATION.")

    def applies(self, lab: "Lab") -> bool:
        return not lab.config.are_pairs

    def reads(self, config: "RunConfig") -> tuple[str, ...]:
        return self.sets

    def run(self, lab: "Lab") -> LadderFindings:
        passes.check_frame(Frame[self.frame], lab.checkpoint.config)
        heads = tuple(Node(layer, head) for layer, head in letter_heads(lab))
        return LadderFindings(
            sets=tuple(self._climbed(lab, name, heads) for name in self.sets)
            if heads
            else (),
            letter_heads=tuple(map(str, heads)),
            frame=self.frame,
            enough=self.enough,
        )

    def _climbed(self, lab: "Lab", name: str, heads: tuple[Node, ...]):
        asked = _set(lab, name)
        fitting, reading = _questions(lab, asked, self.questions)
        seen = _views(lab, asked, fitting, heads, Frame[self.frame])
        letters = 1 + max(int(prompt.letter.max()) for prompt in asked.prompts)
        fits = Fits(
            seen={part: seen[part.name] for part in Part},
            reads=seen["reads"],
            fitted=Lines.of([asked.prompts[i] for i in fitting], letters),
            others=Lines.of([asked.prompts[i] for i in reading], letters),
            seed=lab.config.seed,
        )
        described = fits.described
        dimensions = {
            one: fits.dimensions(terms) for one, terms in described.identified.items()
        }
        rungs = rungs_of(
            described, dimensions, heads=len(heads), draws=self.random_draws,
            ranks=[rank for rank in self.ranks if rank <= fits.width],
        )  # fmt: skip
        table = _measure(lab, asked, (fitting, reading), heads, fits, rungs, self.frame)
        return describe(lab, (name, asked), reading, heads, fits, rungs, table, self)


def _set(lab: "Lab", name: str) -> PromptSet:
    asked = lab.prompts_of(name)
    several = sum(int(prompt.right.sum()) != 1 for prompt in asked.prompts)
    if several:
        raise ValueError(
            f"{several} prompts of {name!r} have several right options, or none; a "
            "query's place and letter are those of one: give prompts with one."
        )
    return asked


def _questions(
    lab: "Lab", asked: PromptSet, most: int
) -> tuple[Int[np.ndarray, " fitting"], Int[np.ndarray, " reading"]]:
    """Prompts to fit on (the studied questions), and those of fresh ones to read on.

    Fresh ones pass the filter as studied ones do. Where none is left, those on which
    nodes were chosen and the others; where none was studied, two halves.
    """
    study, question = lab.studied, asked.question
    is_studied = np.isin(question, study.question)
    is_fresh = np.isin(question, fresh_names(lab))
    sides = (is_studied, is_fresh)
    if len(np.unique(question[is_studied])) < 2:
        half = split_in_two(question, fraction=0.5, seed=lab.config.seed)
        if half is None:
            raise ValueError(
                f"{len(np.unique(question))} questions for a ladder; give at least "
                "four: means are fitted on some and read on others."
            )
        sides = (half, ~half)
    elif len(np.unique(question[is_fresh])) < 2:
        chosen = np.isin(question, study.question[study.choosing])
        sides = (chosen, is_studied & ~chosen)
    fitting, reading = (np.flatnonzero(side) for side in sides)
    kept = list(dict.fromkeys(question[reading].tolist()))[:most]
    return fitting, reading[np.isin(question[reading], kept)]


def _views(
    lab: "Lab", asked: PromptSet, prompts: np.ndarray, heads, frame: Frame
) -> dict[str, np.ndarray]:
    """The table `ladder_views`: what heads see in the fitting prompts."""
    made_of = {
        "prompts": [asked.prompts[i].identity for i in prompts],
        "heads": [str(head) for head in heads],
        "frame": frame.name,
    }
    names = (*(part.name for part in Part), "reads")
    table = lab.table("ladder_views", made_of).complete(
        _by_question(asked, prompts),
        lambda chunk: _seen(lab, asked, prompts[chunk], heads, frame),
        lambda chunk, found: {"row": chunk, **dict(zip(names, found, strict=True))},
        track=lab.track("looking through heads"),
    )
    order = np.argsort(table["row"])
    return {name: column[order] for name, column in table.items()}


def _seen(lab: "Lab", asked: PromptSet, prompts, heads, frame: Frame) -> tuple:
    """Queries, keys, values, and what the answers' logits read of values."""
    config, parameters = lab.checkpoint.config, lab.checkpoint.parameters
    batch = batch_of([asked.prompts[i] for i in prompts])
    start = passes.prefill(
        parameters, batch.ids, batch.lengths, config=config, sites=(Site.ROT_Q,)
    )
    seen = passes.seen_in_pass(
        start, heads, np.arange(len(prompts)), batch.label_positions, config=config,
        frame=frame,
    )  # fmt: skip
    readout = passes.answer_readout(parameters, start, batch.answer_ids, config=config)
    reads = [
        jnp.einsum(
            "pcw,dw->pcd",
            readout.directions,
            passes.attention_weights(parameters, head, ("output",), config)["output"],
        )
        for head in heads
    ]
    return (*(jnp.asarray(seen[part]) for part in Part), jnp.stack(reads, axis=2))


def _by_question(asked: PromptSet, prompts: np.ndarray) -> list[np.ndarray]:
    names = asked.question[prompts]
    return [np.flatnonzero(names == name) for name in dict.fromkeys(names.tolist())]


def _measure(
    lab: "Lab",
    asked: PromptSet,
    sides: tuple[np.ndarray, np.ndarray],
    heads: tuple[Node, ...],
    fits: Fits,
    rungs: tuple[Rung, ...],
    frame: str,
) -> dict[str, np.ndarray]:
    """The table `ladder`: net logit and loss of every prompt on every rung."""
    fitting, reading = sides
    made_of: dict[str, Any] = {
        "fitting": [asked.prompts[i].identity for i in fitting],
        "reading": [asked.prompts[i].identity for i in reading],
        "heads": [str(head) for head in heads],
        "rungs": list(rungs),
        "frame": frame,
        "seed": fits.seed,
    }
    names = ("net", "loss", "query", "keys")
    table = lab.table("ladder", made_of).complete(
        _by_question(asked, reading),
        lambda chunk: _of_chunk(lab, asked, reading, chunk, heads, fits, rungs, frame),
        lambda chunk, found: {"row": chunk, **dict(zip(names, found, strict=True))},
        track=lab.track("climbing the ladder"),
    )
    order = np.argsort(table["row"])
    return {name: column[order] for name, column in table.items()}


def _of_chunk(
    lab: "Lab", asked: PromptSet, reading, chunk, heads, fits: Fits, rungs, frame: str
) -> tuple[Array, ...]:
    config, parameters = lab.checkpoint.config, lab.checkpoint.parameters
    batch = batch_of([asked.prompts[i] for i in reading[chunk]])
    start = passes.prefill(
        parameters, batch.ids, batch.lengths, config=config, sites=(Site.ROT_Q,)
    )
    of = np.repeat(np.arange(len(chunk)), len(rungs))
    rung = np.tile(np.arange(len(rungs)), len(chunk))
    finals = []
    for first in range(0, len(of), _ROWS):
        rows = slice(first, first + _ROWS)
        stand_ins = fits.stand_ins(rungs, chunk[of[rows]], rung[rows])
        edits = passes.stand_in_edits(
            stand_ins, start, of[rows], heads, batch.label_positions[of[rows]],
            config=config, frame=Frame[frame],
        )  # fmt: skip
        finals.append(
            passes.resume_edited(
                parameters, start, edits, of=of[rows], config=config,
                first_layer=min(head.layer for head in heads),
            ).final
        )  # fmt: skip
    net, loss = _read(lab, jnp.concatenate(finals), batch, len(rungs))
    seen = passes.seen_in_pass(
        start, heads, np.arange(len(chunk)), batch.label_positions, config=config,
        frame=Frame[frame],
    )  # fmt: skip
    return net, loss, jnp.asarray(seen[Part.QUERY]), jnp.asarray(seen[Part.KEYS])


def _read(lab: "Lab", final: Array, batch: TokenBatch, rungs: int):
    """Net logit and loss, `[prompt, rung]`."""
    logits, normaliser = passes.read_answers(
        lab.checkpoint.parameters.unembedding,
        final.reshape(len(batch.ids), rungs, -1), batch.answer_ids,
        config=lab.checkpoint.config,
    )  # fmt: skip
    over_rungs = jax.vmap(jax.vmap(metrics.net, (0, None)))
    gold = jnp.asarray(batch.gold)
    own = jnp.take_along_axis(logits, gold[:, None, None], axis=-1)[..., 0]
    assert normaliser is not None
    return over_rungs(logits, gold), normaliser - own
