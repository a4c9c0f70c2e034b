"""`mcq-jax plan`: a model's shape, chips that need not be here, what a sweep costs."""

import contextlib
import dataclasses
import importlib.util
import math
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

import jax

from mcq_jax import checkpoints, sharding
from mcq_jax.model import ModelConfig, parameter_shapes
from mcq_jax.planning.chips import Chip, Topology, chip_of, measured_cpu
from mcq_jax.planning.of_run import listed
from mcq_jax.planning.passes import Chunk, Passes
from mcq_jax.planning.plan import Sweep, make_plan
from mcq_jax.planning.presets import PRESETS
from mcq_jax.planning.printing import describe, describe_listed


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """Which sweep is planned, on which chips."""

    # A slice of a TPU pod, as v5e:4x4 or v5litepod-16; the local devices if left out.
    topology: str | None = None
    # As data=2,model=8; the fewest model parts that leave room, if left out.
    mesh: str | None = None
    # Whether the data axis holds the layers' weights in parts as well.
    fully_sharded: bool = False
    # Prompts that are patched.
    prompts: int = 1000
    # Sources for each of them.
    sources: int = 10
    # Tokens of a prompt.
    tokens: int = 1024
    # As 4x10x1300: prompts, sources, rows at once; the largest that fits, if left out.
    chunk: str | None = None
    # Of weights and activations; if left out, bfloat16, or float32 on a CPU.
    dtype: str | None = None
    # The folder of a run, of any model, whose experiments are planned as well.
    run: str | None = None


def print_plan(model: str, options: PlanOptions) -> None:
    """Prints the plan for a preset or a Hugging Face folder, on real or named chips."""
    config = shape_of(model)
    chip, devices = _find_chips(options.topology)
    dtype = options.dtype or _usual_dtype(devices)
    size = jax.numpy.dtype(dtype).itemsize
    layer, everything = _weights(config)
    mesh = sharding.make_mesh(
        config,
        options.mesh,
        devices=devices,
        parameter_bytes=size * everything,
        layer_bytes=size * layer if options.fully_sharded else None,
        device_bytes=int(chip.memory) if math.isfinite(chip.memory) else None,
    )
    passes = Passes(
        config=config,
        mesh=mesh,
        tokens=options.tokens,
        dtype=dtype,
        fully_sharded=options.fully_sharded,
    )
    sweep = Sweep(
        prompts=options.prompts, sources=options.sources, tokens=options.tokens
    )
    print(f"{model} on {options.topology or 'the local devices'}", flush=True)
    found = make_plan(
        passes,
        sweep,
        chip,
        chunk=None if options.chunk is None else Chunk.parse(options.chunk),
        say=lambda text: print(text, flush=True),
    )
    print(describe(found, sweep, chip))
    if options.run is not None:
        experiments = listed(options.run, config, found, chip.peak_flops)
        print(describe_listed(options.run, experiments))


def plan_in_own_process(model: str, options: PlanOptions) -> int:
    """Does the same where the TPU's compiler can be loaded; returns the exit code.

    It must see no TPU and no other jax back-end, and only one process of a machine may
    load it at a time.
    """
    if importlib.util.find_spec("libtpu") is None:
        raise ImportError(
            "planning for a TPU needs its compiler; install mcq-jax[tpu], or leave out "
            "--topology to plan for the local devices."
        )
    given = dataclasses.asdict(options)
    flags = [
        f"--{name.replace('_', '-')}" + ("" if value is True else f"={value}")
        for name, value in given.items()
        if value is not None and value is not False
    ]
    command = [sys.executable, "-m", "mcq_jax.planning", model, *flags]
    alone = {"JAX_PLATFORMS": "cpu", "TPU_SKIP_MDS_QUERY": "1", "XLA_FLAGS": ""}
    with tempfile.TemporaryFile("w+") as noise:
        done = subprocess.run(command, env={**os.environ, **alone}, stderr=noise)
        if done.returncode:
            noise.seek(0)
            sys.stderr.write(noise.read()[-2000:])
    return done.returncode


def shape_of(model: str) -> ModelConfig:
    """Returns the shape of a preset, or of the checkpoint in a folder or GGUF file."""
    if model in PRESETS:
        return PRESETS[model]
    path = pathlib.Path(model).expanduser()
    if path.is_file() or (path / "config.json").is_file():
        return checkpoints.read_shape(path)
    raise ValueError(
        f"no shape {model!r}; give a folder with a config.json, a GGUF file, or one of "
        f"{', '.join(PRESETS)}."
    )


def _find_chips(topology: str | None) -> tuple[Chip, Sequence[Any]]:
    if topology is None:
        devices = jax.devices()
        if devices[0].platform == "cpu":
            return measured_cpu(len(devices)), devices
        return chip_of(devices[0].device_kind), devices
    from jax.experimental import topologies

    named = Topology.parse(topology)
    # Else a host is taken to hold four chips.
    host = {"chips_per_host_bounds": (1, 1, 1)} if named.chips == 1 else {}
    with contextlib.redirect_stdout(sys.stderr):
        slice_of_pod = topologies.get_topology_desc(
            platform="tpu", topology_name=str(named), **host
        )
    return named.figures, list(slice_of_pod.devices)


def _usual_dtype(devices: Sequence[Any]) -> str:
    return "float32" if devices[0].platform == "cpu" else "bfloat16"


def _weights(config: ModelConfig) -> tuple[int, int]:
    """How many weights one layer has, and the whole model."""
    shapes = parameter_shapes(config)
    layer = sum(s.size for s in jax.tree.leaves(shapes.layers))
    once = sum(s.size for s in jax.tree.leaves((shapes.embed, shapes.unembed)))
    return layer, once + config.layers * layer
