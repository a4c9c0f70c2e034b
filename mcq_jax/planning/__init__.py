"""Does it fit, how long does it take: sweeps compiled for chips that are not here."""

from mcq_jax.costs.compiled import HostProgram, Program, compile_all
from mcq_jax.planning.chips import CHIPS, Chip, Topology
from mcq_jax.planning.command import PlanOptions, plan_in_own_process, print_plan
from mcq_jax.planning.of_run import Listed, listed
from mcq_jax.planning.passes import Chunk, Passes
from mcq_jax.planning.plan import Plan, Sweep, make_plan
from mcq_jax.planning.presets import PRESETS
from mcq_jax.planning.roofline import PassCost, pass_cost
from mcq_jax.planning.search import largest_fitting

__all__ = [
    "CHIPS",
    "PRESETS",
    "Chip",
    "Chunk",
    "HostProgram",
    "Listed",
    "PassCost",
    "Passes",
    "Plan",
    "PlanOptions",
    "Program",
    "Sweep",
    "Topology",
    "compile_all",
    "largest_fitting",
    "listed",
    "make_plan",
    "pass_cost",
    "plan_in_own_process",
    "print_plan",
]
