"""Why does a head prefer the right label? Its score contrast, in parts.

Queries at the answer position and label keys as sums of effects: of place, of letter,
and of whether the right option was seen already. The contrast (the right label's score
less the mean of the others') falls apart into what place adds, what letter adds, both
crosswise, seen, and a rest; effects are fitted on other questions than they are read
on. Under one set of labels at a time, and under all together, where a letter has to be
told from a place across sets.

Fresh questions only, every rotation, each under labels in a drawn order.
"""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from mcq_jax import metrics, passes
from mcq_jax.experiments.experiment import Experiment
from mcq_jax.experiments.prompt_options import check_at_least
from mcq_jax.experiments.route_rows import heads_of
from mcq_jax.experiments.swap_prompts import fresh_prompts
from mcq_jax.interventions import Node
from mcq_jax.model.constants import layer_constants
from mcq_jax.prompts import TokenisedPrompt, mutations_of
from mcq_jax.results import HeadScoreParts, ScorePartsFindings

if TYPE_CHECKING:
    from mcq_jax.experiments.lab import Lab

TOGETHER = "all together"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScoreParts(Experiment):
    """Takes heads' score contrasts apart into place, letter, both, and seen."""

    name = "score_parts"
    findings = ScorePartsFindings
    needs = ("behaviour",)
    uses = ("head_classes",)
    version = 2  # fresh questions pass the filter

    # Heads such as L21H3; where left out the correct-letter heads, if head_classes ran.
    heads: tuple[str, ...] = ()
    # Mutations that put the labels, each in a drawn order.
    schemes: tuple[str, ...] = ("permuted", "random_letters + permuted")
    # Draws of the bootstrap, each with a fit of its own.
    resamples: int = 200
    # Fresh questions that are read, at most.
    questions: int = 60

    def __post_init__(self):
        check_at_least(self, 20, "resamples")
        check_at_least(self, 2, "questions")
        for scheme in self.schemes:
            mutations_of(scheme)

    def applies(self, lab: "Lab") -> bool:
        return not lab.config.are_pairs

    def run(self, lab: "Lab") -> ScorePartsFindings:
        heads = tuple(Node(*head) for head in heads_of(lab, self.heads))
        asked = {
            scheme: fresh_prompts(lab, scheme, self.questions)
            for scheme in self.schemes
        }
        seen = [
            (prompts, _see(lab, scheme, prompts, heads))
            for scheme, prompts in asked.items()
        ]
        sets = [(scheme, [one]) for scheme, one in zip(asked, seen, strict=True)]
        if len(seen) > 1:
            sets.append((TOGETHER, seen))
        return ScorePartsFindings(
            parts=tuple(
                _parts(lab, head, number, scheme, several, self.resamples)
                for number, head in enumerate(heads)
                for scheme, several in sets
            ),
            questions=len({prompt.content_id for prompt in seen[0][0]}),
        )


def _see(
    lab: "Lab", scheme: str, asked: list[TokenisedPrompt], heads: tuple[Node, ...]
) -> dict[str, np.ndarray]:
    """The table `score_parts`: queries and label keys of every prompt and head."""
    chunks = np.array_split(np.arange(len(asked)), -(-len(asked) // lab.config.batch))

    def work(chunk: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        view = passes.seen_by_heads(
            lab.checkpoint.parameters, [asked[i] for i in chunk], heads,
            config=lab.checkpoint.config, prompts_at_once=len(chunk),
        )  # fmt: skip
        return view.query, view.keys

    if not heads:
        return {}
    made_of = {
        "prompts": [prompt.identity for prompt in asked],
        "heads": [str(head) for head in heads],
    }
    table = lab.table("score_parts", made_of).complete(
        chunks,
        work,
        lambda chunk, found: {"prompt": chunk, "query": found[0], "keys": found[1]},
        track=lab.track(f"looking through heads ({scheme})"),
    )
    order = np.argsort(table["prompt"])
    return {name: column[order] for name, column in table.items()}


def _parts(
    lab: "Lab",
    head: Node,
    number: int,
    scheme: str,
    several: list[tuple[list[TokenisedPrompt], dict[str, np.ndarray]]],
    resamples: int,
) -> HeadScoreParts:
    """One head under one set of labels, or several: letters of another are others."""
    asked = [prompt for prompts, _ in several for prompt in prompts]
    choices = len(asked[0].answer_ids)
    letter = np.concatenate([
        np.stack([prompt.letter for prompt in prompts]) + choices * turn
        for turn, (prompts, _) in enumerate(several)
    ])  # fmt: skip
    scales = np.asarray(layer_constants(lab.checkpoint.config).score_scale)
    found = metrics.score_parts(
        np.concatenate([seen["query"][:, number] for _, seen in several]),
        np.concatenate([seen["keys"][:, number] for _, seen in several]),
        np.stack([prompt.place for prompt in asked]),
        letter,
        np.array([prompt.gold for prompt in asked]),
        np.array([prompt.content_id for prompt in asked]),
        scale=float(scales[head.layer]),
        resamples=resamples,
        seed=lab.config.seed,
    )
    return HeadScoreParts(
        head=str(head),
        scheme=scheme,
        total=found.total,
        explained_of_queries=found.explained_of_queries,
        explained_of_keys=found.explained_of_keys,
        **found.means,
    )
