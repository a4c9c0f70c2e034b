"""`Spent`: what an experiment took of the machine that ran it."""

import dataclasses


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
