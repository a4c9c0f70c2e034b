"""Many interventions at once: run a prompt once, then only what patches change."""

from mcq_jax.sweeps.anatomy import (
    Anatomy,
    Keys,
    Readout,
    answer_readout,
    contributions,
    dissect,
)
from mcq_jax.sweeps.cost import (
    node_sweep_bytes,
    node_sweep_flops,
    prefill_flops,
    prompt_pass_bytes,
)
from mcq_jax.sweeps.paths import (
    PATH_SITES,
    Edge,
    Receiver,
    patch_paths,
    paths_from,
)
from mcq_jax.sweeps.prompt_pass import (
    NodeOutputs,
    Prefill,
    answer_prompts,
    prefill,
    read_answers,
)
from mcq_jax.sweeps.resumed_pass import NodeSets, Resumed, every_node, resume

__all__ = [
    "PATH_SITES",
    "Anatomy",
    "Edge",
    "Keys",
    "NodeOutputs",
    "NodeSets",
    "Prefill",
    "Readout",
    "Receiver",
    "Resumed",
    "answer_readout",
    "answer_prompts",
    "contributions",
    "dissect",
    "every_node",
    "node_sweep_bytes",
    "node_sweep_flops",
    "patch_paths",
    "paths_from",
    "prefill",
    "prefill_flops",
    "prompt_pass_bytes",
    "read_answers",
    "resume",
]
