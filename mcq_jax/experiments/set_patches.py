"""The sets of a joint test, patched as wholes on the prompts that test them.

Sets are known by their nodes: those that an earlier sweep of the run patched are read
from its table, and only new ones are patched.
"""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool

from mcq_jax import metrics, passes
from mcq_jax.experiments.behaviour import Columns
from mcq_jax.experiments.node_effects import bank_of
from mcq_jax.sweeps import Direction, patched_logits, sweep_identity

if TYPE_CHECKING:
    from mcq_jax.experiments.lab import Lab

# Sets that are patched while another one is kept: held at what it writes in the run
# that is patched.
NEXT_BEST_ALONE, SELECTED_ALONE = "next_best, selected kept", "selected, next_best kept"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TestSets:
    """The sets to be tested: a kind, a mask, and a mask of nodes kept."""

    __test__ = False  # not a test case, whatever pytest thinks of its name

    kinds: tuple[str, ...]
    masks: Bool[np.ndarray, "set layer node"]
    kept: Bool[np.ndarray, "set layer node"]

    def of_kind(self, kind: str) -> list[int]:
        return [place for place, each in enumerate(self.kinds) if each == kind]

    def plan(self, places: Sequence[int] | slice = slice(None)) -> passes.NodeSets:
        """Returns some of the sets as rows of a sweep."""
        kept = self.kept[places]
        return passes.NodeSets(self.masks[places], kept=kept if kept.any() else None)


def make_sets(
    selection: metrics.Selection,
    shape: tuple[int, int],
    *,
    random_sets: int,
    seed: int,
    sizes: Sequence[int] = (),
) -> TestSets:
    """Returns the selected set, its rivals, and the prefixes of the ranking.

    Prefixes have the sizes that are given, and some around the selected set's.
    The selected set and the next in rank come once more, each with the other kept.
    Without any node left to rank, the set has no such rivals.
    """
    chosen, rivals = selection.nodes, metrics.next_best(selection)
    size = len(chosen)
    random = metrics.random_sets(chosen, shape=shape, sets=random_sets, seed=seed)
    around = {1, 2, size // 4, size // 2, size, 2 * size, 4 * size} - {0}
    ranked = sorted(s for s in around | set(sizes) if s < len(selection.ranking))
    curve = metrics.cumulative_sets(selection.ranking, tuple(ranked))
    patched = [
        ("selected", chosen),
        *([("next_best", rivals)] if rivals else []),
        ("all", selection.ranking),
        *(("random", found.nodes) for found in random),
        *(("cumulative", nodes) for nodes in curve),
    ]
    named = [(kind, nodes, ()) for kind, nodes in patched]
    if rivals:
        named += [
            (NEXT_BEST_ALONE, rivals, chosen),
            (SELECTED_ALONE, chosen, rivals),
        ]
    kinds, masks, kept = zip(*named, strict=True)
    return TestSets(
        kinds=kinds,
        masks=np.stack([metrics.node_mask(nodes, shape) for nodes in masks]),
        kept=np.stack([metrics.node_mask(nodes, shape) for nodes in kept]),
    )


def patch_sets(lab: "Lab", sets: TestSets) -> Columns:
    """Returns every test prompt × set, patched both ways."""
    prompts, enough = _patch_all(lab, sets, Direction.DENOISE)
    _, needed = _patch_all(lab, sets, Direction.NOISE)
    return {
        "prompt": np.repeat(prompts, len(sets.kinds)),
        "set": np.tile(np.arange(len(sets.kinds)), len(prompts)),
        "sufficiency_logits": enough.reshape(-1, enough.shape[-1]),
        "necessity_logits": needed.reshape(-1, needed.shape[-1]),
    }


def _patch_all(
    lab: "Lab", sets: TestSets, direction: Direction
) -> tuple[np.ndarray, np.ndarray]:
    """The test prompts, and their answers under each set, `[prompt, set, choice]`."""
    study = lab.studied
    chunks = [chunk[~study.choosing[chunk]] for chunk in study.chunks]
    chunks = [chunk for chunk in chunks if len(chunk)]
    sources = study.sources.first_kind()
    how: dict[str, Any] = dict(
        metrics={"logits": patched_logits}, direction=direction, full_vocabulary=False
    )
    identity = sweep_identity(
        lab.checkpoint.parameters, study.prompts, sets.plan(), sources,
        chunks, lab.checkpoint.content_hash, config=lab.checkpoint.config, **how,
    )  # fmt: skip
    names, prompts = identity["rows"], np.concatenate(chunks)
    by_name: dict[str, np.ndarray] = {}
    for table, rows in lab.tables_apart_from("rows", "joint_tests", identity):
        if set(rows) & set(names) and not table.missing_parts(len(chunks)):
            by_name |= _by_set(table.read()["logits"], rows)
    new = [name for name in dict.fromkeys(names) if name not in by_name]
    if new:
        # A sweep refuses a source under which no row changes anything, and of the sets
        # that are left to patch none may: all nodes together go along.
        new = list(dict.fromkeys([*new, names[sets.kinds.index("all")]]))
        found = lab.sweep(
            "joint_tests", sets.plan([names.index(name) for name in new]), sources,
            chunks=chunks, bank=bank_of(lab).held, track=lab.track("testing sets"),
            **how,
        )  # fmt: skip
        by_name |= _by_set(found.values["logits"], new)
    return prompts, np.stack([by_name[name] for name in names], axis=1)


def _by_set(logits: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Answers `[prompt, choice]` of each set of a table, whose sets are called so."""
    by_row = logits.reshape(-1, len(names), logits.shape[-1])
    return {name: by_row[:, number] for number, name in enumerate(names)}
