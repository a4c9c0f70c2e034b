"""How fast do small models train, several at once, and beside plain Haiku and optax?

    python -m benchmarks.training [--models 1 2 4 8] [--rounds 4]

A model of 4 layers × 4 heads, width 64 (0.2M parameters), batches of 64 × 48 tokens,
float32. First how long a step of one model takes, of 1 to 8 models, on one core and on
two: one after another in one process ("by turns"), as one more axis ("as an axis"), by
one pretend device per core, and by one process per core. CPU milliseconds are the
processes' own, which other programs hardly change. Then one model beside
`plain_training`, both with blocks that are computed twice, on one core, in turn.
"""

import argparse
import json
import os
import subprocess
import sys
import time

SHAPES = {"small": (64, 48), "wide": (8, 128)}
_STEPS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--worker", help="what one process of these measures, as JSON")
    asked = parser.parse_args()
    if asked.worker:
        _work(json.loads(asked.worker), asked.rounds)
        return
    cores = sorted(os.sched_getaffinity(0))[:2]
    print(
        "models  how               cores  CPU ms  wall ms  GFLOP/s (of a large product)"
    )
    for models in asked.models:
        for how in ("by turns", "as an axis"):
            for used in (cores[:1], cores):
                _print(
                    models, how, used, _measure(asked.rounds, _job(how, models, used))
                )
        if models % 2 == 0:
            job = _job("devices", models, cores)
            _print(models, "device per core", cores, _measure(asked.rounds, job))
            halves = [_job("by turns", models // 2, [core]) for core in cores]
            found = _measure(asked.rounds, *halves)
            _print(models, "process per core", cores, found)
    for shape in SHAPES:
        job = {"how": "plain", "shape": shape, "cores": cores[:1]}
        (found,) = _measure(asked.rounds, job)
        print(f"\n{shape}: {found['text']}")


def _job(how: str, models: int, cores: list[int]) -> dict:
    return {"how": how, "models": models, "cores": cores}


def _print(models: int, how: str, cores: list[int], found: list[dict]) -> None:
    cpu = sum(each["cpu"] for each in found) / models
    wall = max(each["wall"] for each in found) / models
    rate, large = found[0]["flops"] / cpu / 1e9, found[0]["product"] / 1e9
    print(
        f"{models:6d}  {how:16s} {len(cores):6d} {1e3 * cpu:7.0f} {1e3 * wall:8.0f}"
        f" {rate:8.0f} ({large:.0f})",
        flush=True,
    )


def _measure(rounds: int, *works: dict) -> list[dict]:
    """Runs processes side by side; what each found."""
    command = [sys.executable, "-m", "benchmarks.training", "--rounds", str(rounds)]
    running = [
        subprocess.Popen(
            [*command, "--worker", json.dumps(work)], stdout=subprocess.PIPE, text=True
        )
        for work in works
    ]
    return [
        json.loads(process.communicate()[0].splitlines()[-1]) for process in running
    ]


def _work(work: dict, rounds: int) -> None:
    os.sched_setaffinity(0, work["cores"])
    import jax

    if work["how"] == "devices":
        jax.config.update("jax_num_cpu_devices", len(work["cores"]))
    is_plain = work["how"] == "plain"
    print(json.dumps((_beside if is_plain else _own)(work, rounds)))


def _config(shape: str, models: int = 1, **more):
    import tokenizers

    from mcq_jax.model import Activation, ModelConfig
    from mcq_jax.prompts import TokenizerFile
    from mcq_jax.training import Member, TrainingConfig

    width, layers = (64, 4) if shape == "small" else (256, 6)
    model = ModelConfig(
        layers=layers,
        width=width,
        kv_heads=width // 16 if shape == "small" else 8,
        group=1,
        head_width=16 if shape == "small" else 32,
        neurons=4 * width,
        vocabulary=256 if shape == "small" else 4096,
        context=SHAPES[shape][1],
        rotary_width=16 if shape == "small" else 32,
        tied=True,
        gated=False,
        activation=Activation.GELU_TANH,
    )
    words = tokenizers.models.WordLevel({"a": 0}, unk_token="a")
    return TrainingConfig(
        title="benchmark",
        model=model,
        tokenizer=TokenizerFile(tokenizers.Tokenizer(words)),
        members=tuple(
            Member(name=str(i), stream=_Random(shape)) for i in range(models)
        ),
        steps=10**6,
        **more,
    )


class _Random:
    def __init__(self, shape: str):
        self._shape = SHAPES[shape]

    def batch(self, step: int):
        import numpy as np

        from mcq_jax.training import Batch

        ids = np.random.default_rng(step).integers(0, 256, self._shape)
        return Batch(ids.astype(np.int32), np.ones(self._shape, np.float32))


def _ready(config, where, at_once: int):
    """A function that runs some steps, and the compiled program."""
    import jax
    import jax.numpy as jnp

    from mcq_jax.training import initialise, optimiser, steps

    members = config.members
    states = [optimiser.start(initialise(config.model, jax.random.key(i)), config)
              for i in range(len(members))]  # fmt: skip
    state = where.place_state(jax.tree.map(lambda *a: jnp.stack(a), *states))
    batches = [[m.stream.batch(step) for m in members] for step in range(_STEPS)]
    batches = where.place_batches(steps.stacked(batches, at_once, _STEPS))
    rest = (batches, jnp.int32(0), jnp.int32(_STEPS), optimiser.rates_of(members))
    program = steps.compiled_steps(config, where).lower(state, *rest).compile()
    held = [state]

    def run():
        held[0], losses = program(held[0], *rest)
        return jax.block_until_ready(losses)

    return run, program


def _best(run, rounds: int) -> tuple[float, float]:
    """CPU and wall seconds of the quietest round."""
    run()
    cpu, wall = [], []
    for _ in range(rounds):
        begun = time.process_time(), time.perf_counter()
        run()
        cpu.append(time.process_time() - begun[0])
        wall.append(time.perf_counter() - begun[1])
    return min(cpu), min(wall)


def _product_rate(rounds: int) -> float:
    import jax
    import jax.numpy as jnp

    a = jnp.ones((1536, 1536))
    product = jax.jit(lambda a: a @ a)
    return 2 * 1536**3 / _best(lambda: product(a).block_until_ready(), rounds)[0]


def _own(work: dict, rounds: int) -> dict:
    from mcq_jax.training import steps
    from mcq_jax.training.bar import flops_of_step
    from mcq_jax.training.placement import Placement, placement

    config = _config("small", work["models"])
    alone = Placement(
        mesh=None, fully_sharded=False, one_by_one=work["how"] == "by turns"
    )
    where = placement(config) if work["how"] == "devices" else alone
    rows, length = SHAPES["small"]
    run, _ = _ready(config, where, steps.rows_at_once(config, rows, length))
    cpu, wall = _best(run, rounds)
    return dict(
        cpu=cpu / _STEPS,
        wall=wall / _STEPS,
        flops=flops_of_step(config, rows, length),
        product=_product_rate(rounds),
    )


def _beside(work: dict, rounds: int) -> dict:
    """Ours and plain Haiku, in turn."""
    import jax

    from benchmarks.plain_training import training_step
    from mcq_jax.training import steps
    from mcq_jax.training.placement import Placement

    where = Placement(mesh=None, fully_sharded=False, one_by_one=True)
    shape = work["shape"]
    rows, length = SHAPES[shape]
    config = _config(shape, rematerialise=True)
    whole, program = _ready(config, where, rows)
    at_once = steps.rows_at_once(config, rows, length)
    sliced, in_slices = _ready(_config(shape), where, at_once)
    ids = jax.numpy.asarray(config.members[0].stream.batch(0).ids)
    init, step = training_step(config.model, 3e-3)
    held = list(init(jax.random.key(0), ids))
    plain = step.lower(*held, ids).compile()

    def run_plain():
        loss = None
        for _ in range(_STEPS):
            held[0], held[1], loss = plain(held[0], held[1], ids)
        return jax.block_until_ready(loss)

    seconds = {"plain": [], "ours": [], "slices": []}
    for _ in range(rounds):
        for name, run in (("plain", run_plain), ("ours", whole), ("slices", sliced)):
            seconds[name].append(_best(run, 1)[0])
    ms = {name: 1e3 * min(each) / _STEPS for name, each in seconds.items()}
    memory = {
        name: made.memory_analysis().temp_size_in_bytes / 1e6
        for name, made in (("plain", plain), ("ours", program), ("slices", in_slices))
    }
    said = {
        "plain": "plain Haiku, blocks computed twice",
        "ours": "ours, blocks computed twice",
        "slices": f"ours as it trains: slices of {at_once} rows, nothing twice",
    }
    lines = [
        f"{ms[n]:7.0f} ms ({ms[n] / ms['plain']:.2f}x) {memory[n]:7.1f} MB "
        f"({memory[n] / memory['plain']:.2f}x)  {text}"
        for n, text in said.items()
    ]
    text = "\n".join(["", *lines])
    return {"text": text}


if __name__ == "__main__":
    main()
