"""Faults on purpose, each in a copy of the package: does the fuzz find them?

    python -m tests.fuzz.faults [WORD]

Prints, for each fault, after how many cases it showed; or that it never did. Only those
whose name has WORD in it, if that is given.
"""

import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from tests.fuzz import cases, models

REPOSITORY = pathlib.Path(__file__).parents[2]
# Of every family that could show it, so many models.
ROUNDS = 3


@dataclasses.dataclass(frozen=True)
class Fault:
    """One line of the package, and what it is made to say."""

    name: str
    file: str
    right: str
    wrong: str
    # The families that could show it.
    families: tuple[str, ...]
    # The kinds of cases that could, with commas between; all where left out.
    kinds: str = ",".join(dict.fromkeys(cases.KINDS))


_SOME = ("llama", "gemma2", "gpt2")
FAULTS = (
    Fault(
        "an addition is taken away", "interventions/blending.py",
        "x + weight * direction)", "x - weight * direction)", _SOME,
    ),
    Fault(
        "an edit writes one position too early", "interventions/tap.py",
        "(edit.positions,)", "(edit.positions - 1,)", _SOME,
    ),
    Fault(
        "heads are counted across their kv heads", "interventions/tap.py",
        "return flat.reshape(sizes)",
        "return flat.reshape(sizes) if len(axes) < 2 else flat.reshape("
        "[*sizes[: axes[0]], sizes[axes[1]], sizes[axes[0]], *sizes[axes[1] + 1 :]]"
        ").swapaxes(*axes)",
        ("llama", "qwen2", "mistral"),
    ),
    Fault(
        "queries read the values of the next kv head", "model/attention.py",
        '"kgqs,skh->kgqh", share, block.values,',
        '"kgqs,skh->kgqh", share, jnp.roll(block.values, 1, axis=1),',
        ("qwen2", "olmo2"),
    ),
    Fault(
        "scores are not capped", "model/attention.py",
        "config.score_cap)", "None)", ("gemma2",),
    ),
    Fault(
        "a window is one token too wide", "model/attention.py",
        "(distance < window)", "(distance <= window)", ("mistral", "gemma3"),
    ),
    Fault(
        "epsilon is left out of norms", "model/norms.py",
        "mean_square + config.norm_epsilon", "mean_square", ("llama", "gpt_neox"),
    ),
    Fault(
        "every slot has the first one's value", "interventions/tap.py",
        "edit.value[slot]", "edit.value[0]", _SOME,
    ),
    Fault(
        "slow rotations are not stretched", "model/positions.py",
        "(keep + (1 - keep) / config.rope_factor)", "(keep + (1 - keep))",
        ("llama", "qwen3"),
    ),
    Fault(
        "a resumed edit stands one token too late", "passes/resumed_edits.py",
        "positions - self.firsts[:, None]", "positions - self.firsts[:, None] + 1",
        _SOME,
    ),
    Fault(
        "a source is read one token too early", "passes/patches.py",
        "row.source_offsets + source.shape[axis]",
        "row.source_offsets + source.shape[axis] - 1", _SOME,
    ),
    Fault(
        "spans of a source are read where the prompt has them", "sweeps/chunk_work.py",
        "plan.of(chunk).read_from(index, self.plan)", "plan.of(chunk)",
        ("llama", "mistral", "qwen2", "qwen3", "phi3"),
    ),
    Fault(
        "scores are not divided by the layer", "model/constants.py",
        "config.score_scale_by_layer", "False", ("gpt2",),
    ),
    Fault(
        "blocks in parallel run one after the other", "model/transformer.py",
        "x if config.parallel else mid", "mid", ("gpt_neox",),
    ),
    Fault(
        "a projection forgets its center", "interventions/projections.py",
        "away = x.astype(jnp.float32) - center", "away = x.astype(jnp.float32)", _SOME,
    ),
    Fault(
        "a captured head is its neighbour", "interventions/tap.py",
        "jnp.take(flat, indices, axis=first)",
        "jnp.take(flat, indices - 1, axis=first)",
        _SOME,
    ),
    Fault(
        "a set of units is read where it is put", "passes/unit_sets.py",
        "row.source_offsets + source.shape[axis]", "row.offsets + source.shape[axis]",
        _SOME, "joint",
    ),
    Fault(
        "kept nodes write what their source does", "passes/node_sets.py",
        "jnp.where(kept[site], own, source)", "source", _SOME, "joint",
    ),
    Fault(
        "gates do not let through what lies beside", "passes/subspaces.py",
        "(gates - outside) * within", "gates * within", _SOME, "joint",
    ),
    Fault(
        "subspaces are read by everyone", "passes/subspaces.py",
        "dataclasses.replace(edit, positions=positions, readers=readers[None])",
        "dataclasses.replace(edit, positions=positions, readers=readers[None] | True)",
        _SOME, "joint",
    ),
    Fault(
        "a written token is edited one step late", "model/generation.py",
        "there = placed(row, position[None])",
        "there = placed(row, position[None] - 1)", _SOME, "generation",
    ),
    Fault(
        "int8 has the scale of the whole matrix", "checkpoints/quantising.py",
        "np.abs(rows).max(axis=1, keepdims=True)",
        "np.abs(rows).max() + 0 * rows[:, :1]",
        _SOME, "int8",
    ),
    Fault(
        "an addition's slope is that of half of it", "interventions/blending.py",
        "slopes = (jnp.ones_like(x), weight, direction)",
        "slopes = (jnp.ones_like(x), weight / 2, direction)", _SOME, "gradient",
    ),
    Fault(
        "paths bring what the clean run has", "paths/walk.py",
        "return self._written(sender, self.source[Site.Z][sender.layer])",
        "return self._written(sender, self.clean[Site.Z][sender.layer])",
        ("llama", "qwen2", "gpt2"), "paths",
    ),
    Fault(
        "norms of paths are frozen always", "paths/paths.py",
        "config, float(freeze_norms)", "config, 1.0",
        ("llama", "qwen2", "gpt2"), "paths",
    ),
)  # fmt: skip


def main() -> None:
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    chosen = [fault for fault in FAULTS if word in fault.name]
    missed = [fault.name for fault in chosen if not _is_found(fault)]
    print(f"{len(chosen) - len(missed)} of {len(chosen)} faults found")
    sys.exit(bool(missed))


def _is_found(fault: Fault) -> bool:
    with tempfile.TemporaryDirectory() as path:
        copy = pathlib.Path(path)
        for part in ("mcq_jax", "tests"):
            shutil.copytree(REPOSITORY / part, copy / part)
        file = copy / "mcq_jax" / fault.file
        text = file.read_text()
        if fault.right not in text:
            raise ValueError(f"{fault.right!r} is not in {fault.file} any more.")
        file.write_text(text.replace(fault.right, fault.wrong))
        tried = 0
        for block in _blocks(fault):
            first = block * cases.BLOCK
            command = ["-m", "tests.fuzz", "--until-fault", "--first", f"{first}"]
            run = subprocess.run(
                [
                    sys.executable, *command, "--cases", f"{cases.BLOCK}",
                    "--kinds", fault.kinds,
                ],
                cwd=copy, env=os.environ | {"PYTHONPATH": path}, check=False,
                capture_output=True, text=True,
            )  # fmt: skip
            shown = re.search(r"^(\d+) (\w+) (\w+): (WRONG|CRASHED)", run.stdout, re.M)
            if shown:
                tried += int(shown[1]) - first + 1
                said = f"{shown[2]}, {shown[3]}: {shown[4]}"
                print(f"{fault.name}: case {tried} ({said})", flush=True)
                return shown[4] == "WRONG"
            if run.returncode:
                raise RuntimeError(run.stderr)
            tried += cases.BLOCK
    print(f"{fault.name}: not in {tried} cases", flush=True)
    return False


def _blocks(fault: Fault) -> list[int]:
    places = [models.FAMILIES.index(family) for family in fault.families]
    return [
        place + turn * len(models.FAMILIES)
        for turn in range(ROUNDS)
        for place in places
    ]


if __name__ == "__main__":
    main()
