"""`about`: what was asked, of which model; the first thing that a run writes down."""

from typing import TYPE_CHECKING

import jax

from mcq_jax.experiments.prompt_set import template_of
from mcq_jax.results import About

if TYPE_CHECKING:
    from mcq_jax.checkpoints import Checkpoint
    from mcq_jax.experiments.config import RunConfig
    from mcq_jax.experiments.lab import Lab


def about(lab: "Lab") -> About:
    """Returns what stands at the top of a run's report."""
    config, asked, checkpoint = lab.config, lab.prompts, lab.checkpoint
    base = len(asked.prompts) // (2 if config.are_pairs else 1)
    return About(
        title=config.title,
        model=checkpoint.name,
        model_hash=checkpoint.content_hash,
        layers=checkpoint.config.layers,
        heads=checkpoint.config.heads,
        questions_from=config.questions,
        template=_template_name(config),
        example_prompt=asked.example,
        labels=asked.labels,
        prompts=base,
        questions=len(set(asked.question[:base].tolist())),
        shots=config.shots,
        dtype=config.dtype,
        device=str(jax.devices()[0].device_kind),
        seed=config.seed,
        are_pairs=config.are_pairs,
        left_out=asked.left_out,
        notes=asked.notes,
        filters=config.filters,
        weight_bits=_weight_bits(config, checkpoint),
    )


def _weight_bits(config: "RunConfig", checkpoint: "Checkpoint") -> float | None:
    kept = 8.0 if config.weights_as == "int8" else None
    known = [bits for bits in (checkpoint.stored_bits, kept) if bits is not None]
    return min(known, default=None)


def _template_name(config) -> str:
    if config.are_pairs:
        return "pairs"
    return template_of(config).name
