"""Many interventions at once: run a prompt once, then only what patches change."""

from mcq_jax.sweeps.anatomy import (
    Anatomy,
    Keys,
    Readout,
    answer_readout,
    contributions,
    dissect,
)
from mcq_jax.sweeps.bank import batch_of
from mcq_jax.sweeps.cost import (
    node_sweep_bytes,
    node_sweep_flops,
    prefill_flops,
    prompt_pass_bytes,
)
from mcq_jax.sweeps.forecasts import Forecast, forecast, rows_that_fit
from mcq_jax.sweeps.full_pass import run_fully
from mcq_jax.sweeps.named_plans import (
    cumulative,
    every_layer,
    every_node,
    every_position,
    every_span,
    every_unit,
    leave_one_out,
    node_sets,
    pairs,
)
from mcq_jax.sweeps.outcomes import (
    Answers,
    Metric,
    Outcome,
    kl_effect,
    loss_effect,
    net_effect,
    patched_net,
)
from mcq_jax.sweeps.path_walk import PATH_SITES
from mcq_jax.sweeps.paths import patch_paths, paths_from
from mcq_jax.sweeps.plans import NodeSets, Patches, Plan
from mcq_jax.sweeps.prompt_pass import (
    NodeOutputs,
    Prefill,
    answer_prompts,
    prefill,
    read_answers,
)
from mcq_jax.sweeps.resumed_pass import Resumed, resume
from mcq_jax.sweeps.row_groups import stages_that_pay
from mcq_jax.sweeps.shared_prefix import Prefix, run_prefix
from mcq_jax.sweeps.sources import (
    Ablation,
    Direction,
    Sources,
    choose_sources,
    prompts_of_pairs,
)
from mcq_jax.sweeps.sweep_table import Summary, SweepTable
from mcq_jax.sweeps.sweeping import EFFECTS, sweep

__all__ = [
    "EFFECTS",
    "PATH_SITES",
    "Ablation",
    "Anatomy",
    "Answers",
    "Direction",
    "Forecast",
    "Keys",
    "Metric",
    "NodeOutputs",
    "NodeSets",
    "Outcome",
    "Patches",
    "Plan",
    "Prefill",
    "Prefix",
    "Readout",
    "Resumed",
    "Sources",
    "Summary",
    "SweepTable",
    "answer_prompts",
    "answer_readout",
    "batch_of",
    "choose_sources",
    "contributions",
    "cumulative",
    "dissect",
    "every_layer",
    "every_node",
    "every_position",
    "every_span",
    "every_unit",
    "forecast",
    "kl_effect",
    "leave_one_out",
    "loss_effect",
    "net_effect",
    "node_sets",
    "node_sweep_bytes",
    "node_sweep_flops",
    "pairs",
    "patch_paths",
    "patched_net",
    "paths_from",
    "prefill",
    "prefill_flops",
    "prompt_pass_bytes",
    "prompts_of_pairs",
    "read_answers",
    "resume",
    "rows_that_fit",
    "run_fully",
    "run_prefix",
    "stages_that_pay",
    "sweep",
]
