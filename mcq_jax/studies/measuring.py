"""Both outcomes of a checkpoint, by an ordinary run on questions of its own corpus."""

import os
import pathlib
from typing import Any

import numpy as np

from mcq_jax import experiments
from mcq_jax.experiments import (
    Behaviour,
    HeadClasses,
    JointTests,
    NodeEffects,
    QuerySwaps,
    RunConfig,
)
from mcq_jax.results import (
    BehaviourFindings,
    JointTestsFindings,
    QuerySwapsFindings,
    RunResults,
)
from mcq_jax.training import cleaning, corpus
from mcq_jax.training.corpus import CorpusRecipe

# Accuracy on shuffled labels from which it makes sense to ask what is followed, and
# follow-D in front of some layer from which something is.
FOLLOWS, FOLLOWED = 0.95, 0.5
# What both outcomes come from; a model of 20 nodes is tested at every size.
EXPERIMENTS = (
    Behaviour(),
    NodeEffects(),
    JointTests(random_sets=5, sizes=tuple(range(1, 20))),
    HeadClasses(),
    QuerySwaps(forms=("permuted",), random_draws=1),
)


def measure_checkpoint(
    folder: str | os.PathLike,
    recipe: CorpusRecipe,
    *,
    questions: int,
    out: str | os.PathLike,
) -> dict[str, Any]:
    """Returns O1 and O2, each None where it is not to be had, and what they come from.

    Args:
        folder: of a checkpoint that was trained on the recipe's corpus.
        questions: fresh ones of four options; half of them are studied.
        out: of the run, whose tables are kept there.
    """
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    asked = corpus.generate_questions(recipe, questions, seed=_FRESH)
    path = str(corpus.save_questions(out / "asked.jsonl", asked))
    config = RunConfig(
        title=f"{pathlib.Path(folder).name}", model=str(folder), questions=path,
        template="corpus", effect_questions=questions // 2, batch=32,
        experiments=EXPERIMENTS,
        out=str(out / "run"),
    )  # fmt: skip
    results, _ = experiments.run(config)
    return outcomes_of(results)


def outcomes_of(results: RunResults) -> dict[str, Any]:
    """Returns the outcomes of a run, with the curves that they were read from."""
    behaviour = results.need(BehaviourFindings)
    joint, swaps = results.get(JointTestsFindings), results.get(QuerySwapsFindings)
    gate = behaviour.gate
    found: dict[str, Any] = {
        "accuracy": behaviour.accuracy.mean, "D": gate.selectivity,
        "gate": {"open": gate.open, "null": [gate.null_low, gate.null_high]},
        "O1": None, "O2": None,
    }  # fmt: skip
    if joint is not None:
        found |= _nodes(joint)
    if swaps is not None:
        found |= _overlap(swaps)
    return found


def _nodes(joint: JointTestsFindings) -> dict[str, Any]:
    curve = {
        one.size: one.sufficiency.mean
        for one in joint.sets
        if one.kind in ("cumulative", "selected", "all") and one.sufficiency is not None
    }
    sizes = np.array(sorted(curve))
    recovery = np.array([curve[size] for size in sizes])
    return {
        "O1": cleaning.log_nodes(sizes, recovery) if len(sizes) else None,
        "sufficiency": {str(size): curve[size] for size in sizes.tolist()},
    }


def _overlap(swaps: QuerySwapsFindings) -> dict[str, Any]:
    (form,) = swaps.forms
    layers = [one for one in form.followed if one.layer is not None]
    place = np.array([one.place.mean for one in layers])
    letter = np.array([np.nan if o.letter is None else o.letter.mean for o in layers])
    seen = max(place.max(initial=0.0), np.nan_to_num(letter).max(initial=0.0))
    is_able = form.base_accuracy >= FOLLOWS and seen >= FOLLOWED
    return {
        "O2": cleaning.overlap(place, letter) if is_able else None,
        "accuracy_permuted": form.base_accuracy,
        "follows_place": place.tolist(),
        "follows_letter": letter.tolist(),
    }


# Questions that no evaluation of a curve asked.
_FRESH = 1000
