"""Many interventions at once: prompts, a plan and sources to one labelled table."""

from mcq_jax.checked_calls import check_calls
from mcq_jax.sweeps.bank import Bank
from mcq_jax.sweeps.forecasts import Forecast, forecast, rows_that_fit
from mcq_jax.sweeps.identities import sweep_identity
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
    EFFECTS,
    Answers,
    Metric,
    MetricFunction,
    Outcome,
    kl_effect,
    loss_effect,
    net_effect,
    patched_log_normaliser,
    patched_logits,
    patched_net,
)
from mcq_jax.sweeps.sources import (
    Ablation,
    Direction,
    Sources,
    choose_sources,
    prompts_of_pairs,
)
from mcq_jax.sweeps.sweep_table import Summary, SweepTable
from mcq_jax.sweeps.sweeping import sweep

__all__ = [
    "EFFECTS",
    "Ablation",
    "Bank",
    "Answers",
    "Direction",
    "Forecast",
    "Metric",
    "MetricFunction",
    "Outcome",
    "Sources",
    "Summary",
    "SweepTable",
    "choose_sources",
    "cumulative",
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
    "pairs",
    "patched_log_normaliser",
    "patched_logits",
    "patched_net",
    "prompts_of_pairs",
    "rows_that_fit",
    "sweep",
    "sweep_identity",
]

check_calls(__name__)
