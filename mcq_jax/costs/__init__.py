"""What passes and sweeps cost: formulas, compiled programs, this machine."""

from mcq_jax.costs.compiled import HostProgram, Program, compile_all, tree_bytes
from mcq_jax.costs.formulas import (
    layer_flops,
    node_sweep_flops,
    prefill_flops,
    unembed_flops,
    work_flops,
)
from mcq_jax.costs.kept_programs import keep_compiled_programs
from mcq_jax.costs.machine import flop_rate, free_bytes
from mcq_jax.costs.memory import chunk_bytes

__all__ = [
    "HostProgram",
    "Program",
    "chunk_bytes",
    "compile_all",
    "flop_rate",
    "free_bytes",
    "keep_compiled_programs",
    "layer_flops",
    "node_sweep_flops",
    "prefill_flops",
    "tree_bytes",
    "unembed_flops",
    "work_flops",
]
