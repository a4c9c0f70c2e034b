"""Is a place, or a letter, held in a few dimensions? Subspaces learned and checked.

Coordinates of the residual stream at the last token, in front of a layer, are learned
so that interchanging them moves the base's answer to where the source's place (or
letter) stands. Learned on studied questions, read on others, and under labels that
nothing was learned on. By itself a high share proves little: beside it stand an
arbitrary target of the same variable, learned as long (the place or letter after the
source's), the class means' subspace, which is not learned, and everything interchanged.
An arbitrary target can be had as well, by joining a place that is read with another one
that is only kept. So the margin between the two is of what is left of them without the
part that nothing downstream reads.

Dear: a pass of all rows for every step, layer and target. Not among the usual ones.
"""

import dataclasses
import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Int

from mcq_jax import learning, metrics
from mcq_jax.experiments.experiment import Experiment
from mcq_jax.experiments.prompt_options import check_at_least
from mcq_jax.experiments.prompt_set import load_questions
from mcq_jax.experiments.swap_prompts import (
    NO_LINE,
    SwapPrompts,
    form_of,
    fresh_questions,
    swap_prompts,
)
from mcq_jax.learning import Pairs, Where
from mcq_jax.results import LearnedFound, LearnedSubspacesFindings

if TYPE_CHECKING:
    from mcq_jax.experiments.lab import Lab

PLACE, LETTER = "place", "letter"
_BASES = ("learned", "control", "class_means", "whole", "read", "control_read")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LearnedSubspaces(Experiment):
    """Learns subspaces that move a place or a letter, and an arbitrary target."""

    name = "learned_subspaces"
    findings = LearnedSubspacesFindings
    needs = ("behaviour",)
    # 2: nothing is learned on rows that an interchange cannot move, and the margin is
    # of what downstream reads.
    version = 3  # fresh questions pass the filter

    # Layers in front of which the residual is interchanged; four spread evenly where
    # left out.
    layers: tuple[int, ...] = ()
    # Dimensions of each subspace.
    rank: int = 4
    # Place, letter, or both.
    variables: tuple[str, ...] = (PLACE, LETTER)
    # Forms of swaps (docs/semantics.md) that subspaces are learned on, and read on.
    learn_on: tuple[str, ...] = ("permuted", "random_letters")
    read_on: tuple[str, ...] = ("permuted", "unseen_letters")
    # Steps, each with sixteen rows.
    steps: int = 100
    # Random bases to begin with; the one that ends with the least loss counts.
    starts: int = 2
    learning_rate: float = 0.03
    # Fresh questions that are read, at most.
    questions: int = 60

    def __post_init__(self):
        check_at_least(self, 1, "rank", "steps", "starts")
        check_at_least(self, 2, "questions")
        for form in (*self.learn_on, *self.read_on):
            if not form_of(form).covers_all:
                raise ValueError(
                    f"subspaces of the form {form!r}, in which a base has not a source "
                    "for every line; use permuted, random_letters or unseen_letters."
                )
        unknown = set(self.variables) - {PLACE, LETTER}
        if unknown or not self.variables:
            raise ValueError(
                f"variables {sorted(unknown)}; a subspace of {PLACE} or of {LETTER} is "
                "learned."
            )

    def applies(self, lab: "Lab") -> bool:
        return not lab.config.are_pairs

    def run(self, lab: "Lab") -> LearnedSubspacesFindings:
        layers = self.layers or spread(lab.checkpoint.config.layers, 4)
        jobs = list(itertools.product(layers, self.variables))
        rows = _Rows.of(lab, self)
        table = _learn(lab, self, jobs, rows)
        found = [
            _describe(lab, self, jobs[int(job)], number, table["answers"][row], rows,
                      float(table["unread"][row]))
            for row, job in enumerate(table["job"])
            for number in range(len(rows.read))
        ]  # fmt: skip
        return LearnedSubspacesFindings(
            found=tuple(one for one in found if one is not None),
            rank=self.rank,
            steps=self.steps,
            learned_questions=rows.learned_questions,
            read_questions=len(np.unique(rows.read[0].questions[0])),
        )


def spread(layers: int, count: int) -> tuple[int, ...]:
    """Returns so many layers, the last among them, at equal steps."""
    return tuple(
        int(i) for i in np.unique(np.linspace(0, layers - 1, count + 1).round()[1:])
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Rows:
    """What is learned on, form by form, and what is read."""

    learn: tuple[SwapPrompts, ...]
    read: tuple[SwapPrompts, ...]
    learned_questions: int

    @classmethod
    def of(cls, lab: "Lab", options: LearnedSubspaces) -> "_Rows":
        studied = {prompt.content_id for prompt in lab.studied.prompts}
        known = [q for q in load_questions(lab.config) if q.content_id in studied]
        fresh = fresh_questions(lab, options.questions)
        return cls(
            learn=tuple(swap_prompts(lab, form, known) for form in options.learn_on),
            read=tuple(swap_prompts(lab, form, fresh) for form in options.read_on),
            learned_questions=len(known),
        )

    @property
    def identity(self) -> dict[str, Any]:
        return {
            "learn": [rows.identity for rows in self.learn],
            "read": [rows.identity for rows in self.read],
        }


def _learn(lab: "Lab", options: LearnedSubspaces, jobs: list, rows: _Rows) -> dict:
    """The table `learned_subspaces`, one row and part for each layer and variable.

    basis: the learned one's vectors, and the control's; answers: of every row that is
    read, under each of `_BASES`.
    """
    config = lab.checkpoint.config
    prepared: dict[str, list[list[Pairs]]] = {}

    def run_once() -> dict[str, list[list[Pairs]]]:  # not where the table is there
        if not prepared:
            for name in ("learn", "read"):
                prepared[name] = [_run(lab, one) for one in getattr(rows, name)]
        return prepared

    def work(chunk: np.ndarray) -> tuple[np.ndarray, ...]:
        made = [_one(lab, options, jobs[int(job)], rows, run_once()) for job in chunk]
        return tuple(np.stack(parts) for parts in zip(*made, strict=True))

    names = ("basis", "losses", "answers", "unread")
    made_of = rows.identity | {
        "version": options.version,
        "options": [options.rank, options.steps, options.learning_rate, options.starts],
        "jobs": [list(job) for job in jobs],
        "seed": lab.config.seed,
        "layers": config.layers,
    }
    return lab.table("learned_subspaces", made_of).complete(
        [np.array([number]) for number in range(len(jobs))],
        work,
        lambda chunk, found: {"job": chunk, **dict(zip(names, found, strict=True))},
        track=lab.track("learning subspaces"),
    )


def _run(lab: "Lab", rows: SwapPrompts) -> list[Pairs]:
    bases = [rows.bases[i] for i in rows.base]
    return learning.run_pairs(
        lab.checkpoint.parameters, bases, rows.sources, config=lab.checkpoint.config,
        track=lab.steps(f"running pairs, {rows.form.name}"),
    )  # fmt: skip


def _one(lab, options, job, rows: _Rows, prepared) -> tuple[np.ndarray, ...]:
    """One layer and variable: bases, losses, what rows answer, and the unread share."""
    layer, variable = job
    config, parameters = lab.checkpoint.config, lab.checkpoint.parameters
    where = Where(layer=layer)
    usable = [
        (pairs, one)
        for pairs, one in zip(prepared["learn"], rows.learn, strict=True)
        if (one.lines[variable] != NO_LINE).all()
    ]
    if not usable:
        raise ValueError(
            f"no form of {options.learn_on} has letters in common, and a subspace of "
            f"the {variable} is to be learned; add permuted to learn_on."
        )
    batches = [batch for pairs, _ in usable for batch in pairs]
    size = batches[0].count
    learned, losses = [], []
    for shift in (0, 1):
        aims = [
            np.where(_moves(one, variable), _targets(one, variable, shift), -1)
            for _, one in usable
        ]
        targets = [
            aim[which]
            for aim in aims
            for which in learning.rows_of(len(aim), size)
        ]  # fmt: skip
        basis, lost = learning.learn_subspace(
            parameters, batches, targets, where, rank=options.rank, config=config,
            steps=options.steps, learning_rate=options.learning_rate,
            seed=lab.config.seed, starts=options.starts,
            track=lab.steps(f"{variable}, in front of {layer}"),
        )  # fmt: skip
        learned.append(basis)
        losses.append(lost)
    first, one = usable[0]
    means = learning.class_mean_basis(
        first, _value(one, variable), where, rank=options.rank
    )
    read = learning.read_directions(parameters, layer, config.layers)
    (part, unread), (beside, _) = (
        learning.read_part(np.asarray(basis[0], np.float64), read) for basis in learned
    )
    whole = learning.whole_basis(where, config)
    bases = (*learned, means, whole, part[None], beside[None])
    answers = [
        np.concatenate([
            learning.answers_under(
                parameters, pairs, basis, where, rows=len(form.base), config=config
            )
            for pairs, form in zip(prepared["read"], rows.read, strict=True)
        ])
        for basis in bases
    ]  # fmt: skip
    return (
        np.stack(learned)[:, 0],
        np.stack(losses),
        np.stack(answers),
        np.array(unread),
    )


def _value(rows: SwapPrompts, variable: str) -> Int[np.ndarray, " row"]:
    """What each source has of a variable."""
    name = "gold_place" if variable == PLACE else "gold_letter"
    return np.array([getattr(prompt, name) for prompt in rows.sources])


def _moves(rows: SwapPrompts, variable: str) -> Bool[np.ndarray, " row"]:
    """Whether the source has another value than its base, which has the gold's.

    Where they are the same an interchange changes nothing: to want the value after it
    there would hold back the arbitrary target, and it alone.
    """
    name = "gold_place" if variable == PLACE else "gold_letter"
    own = np.array([getattr(rows.bases[i], name) for i in rows.base])
    return own != _value(rows, variable)


def _targets(rows: SwapPrompts, variable: str, shift: int) -> Int[np.ndarray, " row"]:
    """The base's answer at the source's place or letter, or the one after it."""
    wanted = (_value(rows, variable) + shift) % rows.choices
    held = [getattr(rows.bases[i], variable) for i in rows.base]
    return np.array([
        int(np.argmax(values == value))
        for values, value in zip(held, wanted, strict=True)
    ])  # fmt: skip


def _describe(
    lab: "Lab",
    options: LearnedSubspaces,
    job: tuple[int, str],
    number: int,
    answers: Int[np.ndarray, "basis row"],
    rows: _Rows,
    unread: float,
) -> LearnedFound | None:
    """One layer, variable and form; None where base and source share no letter."""
    layer, variable = job
    form = rows.read[number]
    if (form.lines[variable] == NO_LINE).any():
        return None
    start = sum(len(one.base) for one in rows.read[:number])
    answers = answers.reshape(len(_BASES), -1)[:, start : start + len(form.base)]
    target, other = (_targets(form, variable, shift) for shift in (0, 1))
    own = np.array([form.bases[i].gold for i in form.base])
    counts = (target != own) & (other != own)
    sides = tuple(side[counts] for side in form.questions)
    seed = lab.config.seed

    def hits(basis: str, wanted: np.ndarray) -> Bool[np.ndarray, " row"]:
        return (answers[_BASES.index(basis)] == wanted)[counts]

    def share_of(basis: str, wanted: np.ndarray) -> metrics.Interval:
        return metrics.share_two_way(hits(basis, wanted), *sides, seed=seed)

    moved = learning.moved_by(
        hits("read", target), hits("control_read", other), *sides, seed=seed
    )
    learned = share_of("learned", target)
    return LearnedFound(
        variable=variable,
        layer=layer,
        form=form.form.name,
        learned=learned,
        control=share_of("control", other),
        margin=moved.margin,
        class_means=share_of("class_means", target),
        whole=share_of("whole", target),
        read_part=moved.learned,
        control_read_part=moved.control,
        unread_share=unread,
        is_illusion=moved.learned.high < learned.low,
        too_few=min(len(np.unique(side)) for side in sides) < metrics.FEWEST,
    )
