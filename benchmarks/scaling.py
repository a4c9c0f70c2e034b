"""How does the work of one device shrink, or stay, as there are more of them?

    python -m benchmarks.scaling

Counts, not times: a prompt pass, the patching of every node, and the answers of a small
model are compiled for meshes of one to eight pretend devices. Beside the FLOPs, memory
traffic and sent bytes of one device stands what they are of the ideal: a share of one
device's work where the sweep stays the same (strong scaling), all of it where prompts
grow with the devices (weak scaling).

Typical output: see benchmarks/README.md.
"""

from typing import NamedTuple

import jax

from mcq_jax import sharding
from mcq_jax.model import ModelConfig
from mcq_jax.planning import HostProgram, Passes

jax.config.update("jax_num_cpu_devices", 8)

CONFIG = ModelConfig(
    layers=4, width=512, kv_heads=8, group=1, head_width=64, neurons=2048,
    vocabulary=4096, context=256, rotary_width=64,
)  # fmt: skip
TOKENS, SOURCES, SIZES = 128, 2, (1, 2, 4, 8)


class Work(NamedTuple):
    """What one device does."""

    flops: float
    bytes: float
    sent: float


def work_of(mesh: str, devices: int, prompts: int) -> Work:
    """Returns one device's work for patching all nodes of some prompts."""
    passes = Passes(
        config=CONFIG,
        mesh=sharding.make_mesh(CONFIG, mesh, devices=jax.devices()[:devices]),
        tokens=TOKENS,
        dtype="float32",
    )
    start = passes.prefill(prompts, stacked=False)
    resumed = passes.resume(passes.prefill(prompts).result, SOURCES)
    answers, read = passes.read_answers(prompts)
    rows = prompts * SOURCES * CONFIG.layers * CONFIG.nodes
    parts = [_sum(start), _sum(resumed), _sum(answers, times=rows / read)]
    return Work(*map(sum, zip(*parts, strict=True)))


def _sum(run: HostProgram, times: float = 1) -> Work:
    def total(one):
        return times * sum(p.count * one(p) for p in run.programs)

    return Work(
        flops=total(lambda p: p.flops),
        bytes=total(lambda p: p.bytes),
        sent=total(lambda p: sum(c.bytes_sent for c in p.collectives)),
    )


def main() -> None:
    print(
        "scaling  mesh              prompts  GFLOP  x ideal  MB traffic  x ideal  "
        "MB sent"
    )
    for kind, axis in (("strong", "data"), ("weak", "data"), ("strong", "model")):
        alone = None
        for size in SIZES:
            prompts = size if kind == "weak" else SIZES[-1]
            other = "model" if axis == "data" else "data"
            work = work_of(f"{axis}={size},{other}=1", size, prompts)
            alone = alone or work
            share = 1 if kind == "weak" else 1 / size
            print(
                f"{kind:<7}  {axis + '=' + str(size):<16}  {prompts:>7}  "
                f"{work.flops / 1e9:>5.2f}  {work.flops / alone.flops / share:>7.3f}  "
                f"{work.bytes / 1e6:>10.0f}  {work.bytes / alone.bytes / share:>7.3f}  "
                f"{work.sent / 1e6:>7.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
