"""What a training leaves in its folder, whole or not at all.

<member>/identity.json               what made its numbers
<member>/curve.jsonl                 a line per step: its loss; and what was measured
<member>/checkpoints/step-00000128/  weights, as `load` opens them
<member>/states/step-00000128.safetensors    weights and moments, to go on from
"""

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
import safetensors.numpy

from mcq_jax.checkpoints import Checkpoint, save_checkpoint
from mcq_jax.json_values import to_json
from mcq_jax.model import Precision
from mcq_jax.results import key_of, write_whole
from mcq_jax.training.config import Member, TrainingConfig, settings_of
from mcq_jax.training.optimiser import TrainingState


class MemberFolder:
    """The files of one member."""

    def __init__(self, folder: pathlib.Path, config: TrainingConfig, member: Member):
        self._folder, self._config, self._member = folder, config, member

    def check_identity(self) -> None:
        """Writes down what makes this member; refuses a folder of another one."""
        path, own = self._folder / "identity.json", identity(self._config, self._member)
        if not path.is_file():
            write_whole(path, json.dumps(own, indent=1).encode())
            return
        found = json.loads(path.read_bytes())
        differing = sorted(k for k in {*own, *found} if own.get(k) != found.get(k))
        if differing:
            name = differing[0]
            raise ValueError(
                f"{self._folder} holds a training with another {', '.join(differing)} "
                f"({name} was {found.get(name)!r} and is {own.get(name)!r}); name "
                "another folder with --out, or undo that."
            )

    def saved_steps(self) -> set[int]:
        """The steps after which a state was saved."""
        return {_step_of(path) for path in self._states.glob("step-*.safetensors")}

    def save_state(self, step: int, state: TrainingState) -> None:
        """Saves weights and moments after a step."""
        arrays = {name: np.asarray(leaf) for name, leaf in _named(state)}
        write_whole(self._state_file(step), safetensors.numpy.save(arrays))

    def read_state(self, step: int, like: TrainingState) -> TrainingState:
        """Returns a saved state as host arrays, in the structure of another."""
        path = self._state_file(step)
        arrays = safetensors.numpy.load(path.read_bytes())
        if {n: a.shape for n, a in arrays.items()} != {
            n: a.shape for n, a in _named(like)
        }:
            raise ValueError(
                f"{path} is no state of this model and optimiser; give the folder of a "
                "training of the same ones."
            )
        leaves = [arrays[name] for name, _ in _named(like)]
        return jax.tree.unflatten(jax.tree.structure(like), leaves)

    def forget_states_before(self, step: int) -> None:
        """Removes states that are no longer needed."""
        kept = set(self._config.kept_steps) if self._config.keeps_states else set()
        for old in self.saved_steps():
            if old < step and old not in kept:
                self._state_file(old).unlink()

    def save_checkpoint(self, step: int, state: TrainingState) -> pathlib.Path:
        """Keeps weights for good, if they are not there yet."""
        folder = self._folder / "checkpoints" / f"step-{step:08d}"
        config = self._config.model
        if not folder.exists():
            checkpoint = Checkpoint(
                parameters=state.parameters,
                # What is measured of it is measured in full precision.
                config=dataclasses.replace(config, precision=Precision.HIGHEST),
                tokenizer=self._config.tokenizer,
                name=f"{self._config.title}, {self._member.name}, step {step}",
                content_hash="",
            )
            save_checkpoint(folder, checkpoint)
        return folder

    def cut_curve(self, step: int) -> None:
        """Removes what the curve says of later steps: they are run again."""
        lines = [line for line in read_curve(self._folder) if line["step"] <= step]
        write_whole(self._curve, b"".join(map(_as_line, lines)))

    def add_to_curve(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Writes lines at the end of the curve."""
        with self._curve.open("ab") as file:
            file.write(b"".join(map(_as_line, lines)))

    @property
    def _states(self) -> pathlib.Path:
        return self._folder / "states"

    @property
    def _curve(self) -> pathlib.Path:
        return self._folder / "curve.jsonl"

    def _state_file(self, step: int) -> pathlib.Path:
        return self._states / f"step-{step:08d}.safetensors"


def read_curve(folder: pathlib.Path) -> list[dict[str, Any]]:
    """Returns the lines of a member's curve, in order; none if it has not begun.

    A last line that was not written to its end is left out.
    """
    path = pathlib.Path(folder) / "curve.jsonl"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return [json.loads(line) for line in text.splitlines(True) if line.endswith("\n")]


def identity(config: TrainingConfig, member: Member) -> dict[str, Any]:
    """Returns what a member's numbers follow from, its stream by its first batch."""
    batch = member.stream.batch(0)
    arrays = [np.asarray(batch.ids), np.asarray(batch.weights)]
    branch = config.branch
    begins = (
        {} if branch is None else {"step": branch.step, "state": branch.hash_of(member)}
    )
    return {
        "begins": begins,
        **json.loads(json.dumps(to_json(settings_of(config)))),
        "seed": member.seed,
        "learning_rate": member.learning_rate,
        "weight_decay": member.weight_decay,
        "first_batch": key_of({"arrays": arrays}),
    }


def _named(state: TrainingState) -> list[tuple[str, Any]]:
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return [(jax.tree_util.keystr(p, simple=True, separator="/"), a) for p, a in leaves]


def _step_of(path: pathlib.Path) -> int:
    return int(path.stem.removeprefix("step-"))


def _as_line(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values).encode() + b"\n"
