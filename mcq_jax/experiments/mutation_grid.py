"""How far do the correct-letter heads' subspaces carry when the prompt is changed?

Each mutation of the main questions is a row, each edit of the heads a column: their
queries and label keys projected onto a few dimensions that were found without the
mutation, or under it, or that hold the place alone, or the letter. All between the
heads at their mean and intact, under the same mutation. What a mutation leaves of the
model's own behaviour stands beside it: where the heads carry nothing, no subspace can.

Subspaces are fitted on studied questions, and read on fresh ones.
"""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mcq_jax.experiments import grid_contrasts, grid_numbers
from mcq_jax.experiments.behaviour import names_to_read
from mcq_jax.experiments.experiment import Experiment
from mcq_jax.experiments.grid_contrasts import Contrast
from mcq_jax.experiments.grid_rows import Edits, edits_of, run_chunk, sources_of
from mcq_jax.experiments.head_bases import Views, views_of
from mcq_jax.experiments.prompt_options import PromptOptions, check_at_least
from mcq_jax.experiments.route_rows import letter_heads
from mcq_jax.interventions import Node
from mcq_jax.prompts import MUTATIONS, TokenisedPrompt
from mcq_jax.results import GridRow, MutationGridFindings

if TYPE_CHECKING:
    from mcq_jax.experiments.config import RunConfig
    from mcq_jax.experiments.lab import Lab


@dataclasses.dataclass(frozen=True, kw_only=True)
class MutationGrid(Experiment):
    """Edits the correct-letter heads under every mutation that the card has."""

    name = "mutation_grid"
    findings = MutationGridFindings
    needs = ("head_classes",)
    version = 2  # fresh questions pass the filter

    # Prompts that tell place from letter: permuted labels, or a Latin square of them.
    parts_from: str = "permuted"
    # At most so many questions fit subspaces, and so many are read; None: all.
    fitting_questions: int | None = None
    questions: int | None = 60
    # Draws of each control.
    draws: int = 2
    # Other orders of its question whose heads a prompt gets.
    sources: int = 3
    # Differences from the unmutated prompts that are tested; all others describe.
    contrasts: tuple[Contrast, ...] = ()

    def __post_init__(self):
        check_at_least(self, 2, "fitting_questions", "questions")
        check_at_least(self, 1, "draws", "sources")

    def applies(self, lab: "Lab") -> bool:
        return not lab.config.are_pairs and lab.prompts.rotations > 1

    def check(self, config: "RunConfig") -> None:
        names = [options.name for options in _mutated(config)]
        grid_contrasts.check_contrasts(self.contrasts, names)

    def reads(self, config: "RunConfig") -> list[str]:
        return [options.name for options in _mutated(config)]

    def run(self, lab: "Lab") -> MutationGridFindings:
        heads = [Node(layer, head) for layer, head in letter_heads(lab)]
        if not heads:
            return MutationGridFindings(
                rows=(), contrasts=(), letter_heads=(), fitting_questions=0
            )
        return _Grid(self, lab, heads).run()


def _mutated(config: "RunConfig") -> list[PromptOptions]:
    """The main prompts, and those that are a mutation of the same questions."""
    main, *others = config.all_prompts
    return [main] + [
        other
        for other in others
        if other.questions == main.questions and other.mutation != main.mutation
    ]


class _Grid:
    """The grid at work: what all rows have in common."""

    def __init__(self, options: MutationGrid, lab: "Lab", heads: Sequence[Node]):
        self.options, self.lab, self.heads = options, lab, heads
        studied = list(dict.fromkeys(lab.studied.question.tolist()))
        self.fitting = set(studied[: options.fitting_questions])
        self.read = set(names_to_read(lab, options.questions))

    def run(self) -> MutationGridFindings:
        lab, options = self.lab, self.options
        unmutated = self._views(lab.config.name)
        parts = self._parts()
        rows, found = [], {}
        for asked in _mutated(lab.config):
            refused = self._refusal(asked)
            if refused:
                rows.append(dataclasses.replace(_title(asked), refused=refused))
                continue
            edits = edits_of(
                self._views(asked.name), unmutated, parts,
                draws=options.draws, seed=lab.config.seed,
            )  # fmt: skip
            measured = self._measure(asked.name, edits)
            found[asked.name] = (measured, edits)
            rows.append(
                grid_numbers.row(_title(asked), measured, edits, seed=lab.config.seed)
            )
        overlap = (None, None) if parts is None else grid_numbers.overlaps(parts)
        return MutationGridFindings(
            rows=tuple(rows),
            contrasts=tuple(
                grid_contrasts.contrast(
                    one, found, lab.config.name, seed=lab.config.seed
                )
                for one in options.contrasts
            ),
            letter_heads=tuple(map(str, self.heads)),
            fitting_questions=len(self.fitting),
            parts_from="" if parts is None else options.parts_from,
            query_overlap=overlap[0],
            key_overlap=overlap[1],
        )

    def _parts(self) -> Views | None:
        """What the heads see where place and letter are apart, if the card has such."""
        name = self.options.parts_from
        [*asked] = [one for one in _mutated(self.lab.config) if one.name == name]
        if not asked:
            return None
        refused = self._refusal(asked[0])
        if refused:
            raise ValueError(
                f"parts_from names {name!r}, which cannot tell place from letter: "
                f"{refused} Name prompts of the main questions, permuted."
            )
        return self._views(name)

    def _prompts(self, name: str, questions: set[str]) -> list[TokenisedPrompt]:
        asked = self.lab.prompts_of(name)
        pairs = zip(asked.prompts, asked.question.tolist(), strict=True)
        return [prompt for prompt, question in pairs if question in questions]

    def _views(self, name: str) -> Views:
        """What the heads see on the questions that fit."""
        return views_of(self.lab, self._prompts(name, self.fitting), self.heads)

    def _refusal(self, asked: PromptOptions) -> str:
        """Why a mutation has no row, in a sentence; empty where it has one."""
        sides = [self._prompts(asked.name, s) for s in (self.fitting, self.read)]
        if any(len({p.content_id for p in side}) < 2 for side in sides):
            return "Fewer than two of its questions fit subspaces, or are left to read."
        if any(prompt.right.sum() > 1 for side in sides for prompt in side):
            return "Several options are right at once: gold is a set, and has no place."
        if len({prompt.gold_place for prompt in sides[0]}) < 2:
            return "The right option always stands on the same line."
        return ""

    def _measure(self, name: str, edits: Edits) -> grid_numbers.Measured:
        """The table `mutation_grid`: answers of every prompt under every edit."""
        lab, asked = self.lab, self._prompts(name, self.read)
        chosen, is_there = sources_of(asked, self.options.sources)
        question = np.array([prompt.content_id for prompt in asked])
        identity = {
            "prompts": [prompt.identity for prompt in asked],
            "labels": [prompt.label_positions for prompt in asked],
            "sources": chosen,
            "heads": [str(head) for head in self.heads],
            "edits": [
                {
                    f"{head} {part.name}": [basis.vectors, basis.center]
                    for (head, part), basis in bases.items()
                }
                for bases in edits.kept
            ],
        }

        def work(chunk: np.ndarray):
            place = {index: at for at, index in reversed(list(enumerate(chunk)))}
            own = np.vectorize(place.__getitem__)(chosen[chunk])
            return run_chunk(lab, [asked[i] for i in chunk], own, edits, self.heads)

        table = lab.table("mutation_grid", identity).complete(
            _chunks(question),
            work,
            lambda chunk, found: {
                "prompt": chunk, "answer_logits": found[0], "log_normaliser": found[1]
            },
            track=lab.track(f"editing heads: {name}"),
        )  # fmt: skip
        order = np.argsort(table["prompt"])
        return grid_numbers.Measured(
            asked=tuple(asked),
            question=question,
            logits=table["answer_logits"][order],
            log_normaliser=table["log_normaliser"][order],
            has_source=is_there,
        )


def _chunks(question: np.ndarray, size: int = 16) -> list[np.ndarray]:
    """Whole questions, for sources are of the same one; several up to so many."""
    chunks: list[list[int]] = []
    for name in dict.fromkeys(question.tolist()):
        own = np.flatnonzero(question == name).tolist()
        if not chunks or len(chunks[-1]) + len(own) > size:
            chunks.append([])
        chunks[-1] += own
    return [np.array(chunk) for chunk in chunks]


def _title(asked: PromptOptions) -> GridRow:
    names = [name.strip() for name in asked.mutation.split("+")]
    changes = " ".join(MUTATIONS[name].changes for name in names)
    return GridRow(prompts=asked.name, mutation=asked.mutation, changes=changes)
