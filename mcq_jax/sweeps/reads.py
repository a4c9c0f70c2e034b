"""What metrics read of patched and unpatched prompts, by resumed or by full passes."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Array, Int

from mcq_jax.axes import AnyArray
from mcq_jax.interventions import Capture
from mcq_jax.model import ModelConfig, Parameters, forward
from mcq_jax.model.validation import check_wishes
from mcq_jax.passes.prompt_pass import Prefill
from mcq_jax.passes.resumed_edits import resume_edited
from mcq_jax.prompts import TokenisedPrompt
from mcq_jax.sweeps.outcomes import MetricFunction, reads_of


def all_reads(metrics: Mapping[str, MetricFunction]) -> tuple[Capture, ...]:
    """Returns the captures of all metrics, one metric's after the other's."""
    return tuple(read for metric in metrics.values() for read in reads_of(metric))


def check_reads(
    metrics: Mapping[str, MetricFunction],
    asked: Sequence[TokenisedPrompt],
    config: ModelConfig,
) -> None:
    """Raises ValueError where a metric reads what the model or a prompt has not."""
    lengths = np.array([len(prompt.ids) for prompt in asked])
    for name, metric in metrics.items():
        for read in reads_of(metric):
            if not read.site.per_layer:
                raise ValueError(
                    f"metric {name!r} reads {read.site}, which is in no layer; read "
                    "sites of layers: answers are in the outcome."
                )
            for what in ("positions", "keys"):
                places = getattr(read, what)
                if places is None:
                    continue
                if len(places) not in (1, len(asked)):
                    raise ValueError(
                        f"metric {name!r} reads {read.site} at {what} of {len(places)} "
                        f"prompts, and {len(asked)} are asked; give [selected], or "
                        "[prompt, selected] with one row for every prompt, sources "
                        "included."
                    )
                outside = (lengths[:, None] + np.asarray(places) < 0).any(axis=1)
                if outside.any():
                    prompt = int(outside.argmax())
                    row = np.asarray(places)[prompt % len(places)].tolist()
                    raise ValueError(
                        f"metric {name!r} reads {read.site} at {what} {row} from the "
                        f"end of prompt {prompt}, which has {lengths[prompt]} tokens."
                    )
            in_place = at_ends([read], lengths, np.arange(len(asked)))
            check_wishes((len(asked), int(lengths.max())), (), in_place, config)


def at_ends(
    reads: Sequence[Capture],
    ends: Int[np.ndarray, " prompt"],
    places: Int[np.ndarray, " prompt"],
) -> list[Capture]:
    """Returns captures of some prompts, at positions that count from the start.

    Args:
        ends: one behind the answer position of each of these prompts.
        places: which of the sweep's prompts each of them is.
    """

    def absolute(from_end):
        if from_end is None:
            return None
        table = np.asarray(from_end)
        return (ends[:, None] + table[places % len(table)]).astype(np.int32)

    return [
        dataclasses.replace(
            read, positions=absolute(read.positions), keys=absolute(read.keys)
        )
        for read in reads
    ]


def seen_unpatched(
    parameters: Parameters,
    start: Prefill,
    reads: Sequence[Capture],
    config: ModelConfig,
) -> tuple[Array, ...]:
    """Returns `[layer, prompt, *site axes]` of each read, positions being absolute."""
    of = np.arange(len(start.answer_position))
    runs = [
        resume_edited(
            parameters, start, of=of, config=config, capture=[read],
            first_layer=min(read.layers or (0,)),
        ).activations[read.site]
        for read in reads
    ]  # fmt: skip
    return tuple(runs)


def seen_unpatched_fully(
    parameters: Parameters,
    tokens: Int[AnyArray, "prompt position"],
    reads: Sequence[Capture],
    config: ModelConfig,
) -> tuple[Array, ...]:
    """The same by full passes."""
    runs = [
        forward(parameters, tokens, config=config, capture=[read]).activations
        for read in reads
    ]
    return tuple(run[read.site] for run, read in zip(runs, reads, strict=True))
