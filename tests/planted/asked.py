"""Planted models asked for the tests: prompts, their facts, patched runs.

Batches have one of two shapes, so that the tests share the compiled programs.
"""

import dataclasses
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from mcq_jax.interventions import Capture, Edit, Node, Site, patch
from mcq_jax.model import forward
from mcq_jax.planted import Facts, Planted, facts
from mcq_jax.prompts import Question, render, tokenise

ROWS = 24
# Tokens of the longest prompts with up to 5 options, and with up to 10.
WIDTHS = (32, 56)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """Up to ROWS prompts of one model, padded to one shape."""

    planted: Planted
    facts: tuple[Facts, ...]
    ids: np.ndarray  # [row, position]
    last: np.ndarray  # [row, one], the answer position
    answer_ids: np.ndarray  # [prompt, choice]

    @property
    def gold(self) -> np.ndarray:
        return np.array([prompt.gold for prompt in self.facts])

    def run(self, edits: Sequence[Edit] = (), capture: Sequence[Capture] = ()):
        """Returns answer logits `[prompt, choice]` and activations."""
        out = forward(
            self.planted.parameters,
            jnp.asarray(self.ids),
            edits,
            config=self.planted.config,
            capture=capture,
        )
        last = np.asarray(out.logits)[np.arange(ROWS), self.last[:, 0]]
        rows = np.arange(len(self.facts))[:, None]
        return last[rows, self.answer_ids], out.activations

    def logits(self, *edits: Edit) -> np.ndarray:
        return self.run(edits)[0]

    def node_outputs(self) -> dict[Site, np.ndarray]:
        """Head outputs and block outputs at the answer position, all layers."""
        sites = (Site.Z, Site.MLP_OUT)
        _, found = self.run(
            capture=[Capture(site=s, positions=jnp.asarray(self.last)) for s in sites]
        )
        return {site: np.asarray(found[site]) for site in sites}


def ask(
    planted: Planted,
    questions: Sequence[Question],
    *,
    labels: Sequence[Sequence[str]] | None = None,
) -> Asked:
    """Renders and tokenises the ordinary way; `labels` gives each prompt its own."""
    own = labels or [None] * len(questions)
    prompts = [
        tokenise(
            render(question, planted.template, labels=letters),
            planted.tokenizer,
            context=planted.config.context,
        )
        for question, letters in zip(questions, own, strict=True)
    ]
    width = WIDTHS[planted.choices > 5]
    ids = np.zeros((ROWS, width), np.int32)
    last = np.zeros((ROWS, 1), np.int32)
    for row, prompt in enumerate(prompts):
        ids[row, : len(prompt.ids)] = prompt.ids
        last[row] = len(prompt.ids) - 1
    return Asked(
        planted=planted,
        facts=tuple(
            facts(question, labels=letters)
            for question, letters in zip(questions, own, strict=True)
        ),
        ids=ids,
        last=last,
        answer_ids=np.stack([prompt.answer_ids for prompt in prompts]),
    )


def story_nodes(planted: Planted) -> list[Node]:
    """Every node but the fillers, which are alike and most."""
    roles = planted.truth.roles
    return [node for node, role in roles.items() if not role.startswith("filler")]


def replace_node(base: Asked, node: Node, outputs: dict[Site, np.ndarray]) -> Edit:
    """Patches one node at the answer position with a source's output."""
    if node.head is None:
        site, weight = Site.MLP_OUT, np.float32(1)
    else:
        site = Site.Z
        is_head = np.arange(base.planted.config.heads) == node.head
        weight = is_head.astype(np.float32)[None, None, None, :, None, None]
    source = outputs[site][node.layer][None]
    return patch(site, source, layers=[node.layer], positions=base.last, weight=weight)


def take_queries(
    base: Asked, source: Asked, nodes: Sequence[Node], rows: np.ndarray
) -> list[Edit]:
    """Gives heads of each base the queries of a row of the source."""
    _, found = source.run(
        capture=[Capture(site=Site.Q, positions=jnp.asarray(source.last))]
    )
    queries = np.asarray(found[Site.Q])[:, rows]
    edits = []
    for node in nodes:
        is_head = np.arange(base.planted.config.heads) == node.head
        weight = is_head.astype(np.float32)[None, None, None, :, None, None]
        taken = queries[node.layer][None]
        edits.append(
            patch(
                Site.Q, taken, layers=[node.layer], positions=base.last, weight=weight
            )
        )
    return edits


def net(logits: np.ndarray, gold: np.ndarray) -> np.ndarray:
    """Gold logit minus the mean of the others; the last axis is the choice."""
    is_gold = np.eye(logits.shape[-1])[gold]
    is_gold = is_gold.reshape(len(gold), *(1,) * (logits.ndim - 2), -1)
    others = (1 - is_gold) / (logits.shape[-1] - 1)
    return (logits * (is_gold - others)).sum(-1)
