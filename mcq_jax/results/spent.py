"""`Spent`: what an experiment took of the machine that ran it."""

import dataclasses

from mcq_jax.model.work import Work


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spent:
    """Sums over the whole experiment, without what was there from an earlier run."""

    wall_seconds: float
    # Of all threads of the process.
    cpu_seconds: float
    # Compiled, and not read from the folder of compiled programs.
    programs: int
    # Compiling, or reading what is compiled.
    compile_seconds: float
    # The most that was in use up to its end: of a device's memory where the device
    # says so, else of the process's; None where neither is told.
    peak_bytes: float | None
    # What went through the model; None of a run from before it was counted.
    work: Work | None = None
    # Its FLOPs, by formula, and those of as many full passes.
    flops: float | None = None
    full_pass_flops: float | None = None
