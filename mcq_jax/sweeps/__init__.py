"""Many interventions at once: run a prompt once, then only what patches change."""

from mcq_jax.sweeps.anatomy import (
    Anatomy,
    Keys,
    answer_directions,
    contributions,
    dissect,
)
from mcq_jax.sweeps.cost import (
    node_sweep_bytes,
    node_sweep_flops,
    prefill_flops,
    prompt_pass_bytes,
)
from mcq_jax.sweeps.full_pass import run_fully
from mcq_jax.sweeps.path_walk import PATH_SITES
from mcq_jax.sweeps.paths import patch_paths, paths_from
from mcq_jax.sweeps.plans import (
    NodeSets,
    Patches,
    Plan,
    cumulative,
    every_node,
    every_position,
    every_span,
    every_unit,
    leave_one_out,
    node_sets,
    pairs,
)
from mcq_jax.sweeps.prompt_pass import (
    NodeOutputs,
    Prefill,
    answer_prompts,
    prefill,
    read_answers,
)
from mcq_jax.sweeps.resumed_pass import Resumed, resume

__all__ = [
    "PATH_SITES",
    "Anatomy",
    "Keys",
    "NodeOutputs",
    "NodeSets",
    "Patches",
    "Plan",
    "Prefill",
    "Resumed",
    "answer_directions",
    "answer_prompts",
    "contributions",
    "cumulative",
    "dissect",
    "every_node",
    "every_position",
    "every_span",
    "every_unit",
    "leave_one_out",
    "node_sets",
    "node_sweep_bytes",
    "node_sweep_flops",
    "pairs",
    "patch_paths",
    "paths_from",
    "prefill",
    "prefill_flops",
    "prompt_pass_bytes",
    "read_answers",
    "resume",
    "run_fully",
]
