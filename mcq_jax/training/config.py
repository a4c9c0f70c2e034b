"""`TrainingConfig`: one training of one model, or of several of one shape."""

import dataclasses
import hashlib
import pathlib
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import tyro

from mcq_jax.arguments import check_kind
from mcq_jax.model import ModelConfig, Parameters
from mcq_jax.prompts import TokenizerFile
from mcq_jax.training.stream import TokenStream

SCHEDULES = ("constant", "cosine")
PRECISIONS = ("float32", "bfloat16")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Member:
    """What one of the models trained together has of its own."""

    # Its folder's name.
    name: str
    stream: TokenStream
    # Of its initial weights. Members of one seed begin alike.
    seed: int = 0
    # At its highest.
    learning_rate: float = 3e-3
    # Of the matrices of layers only: not of tables, gains and biases. In a step a
    # matrix loses the learning rate times this share of itself.
    weight_decay: float = 0.1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Branch:
    """Where a training begins that goes on from another one's state."""

    # The other training's, with members of the same names.
    folder: str
    # After which of its steps; it kept its states (`keeps_states`) there.
    step: int

    def hash_of(self, member: Member) -> str:
        """Returns the SHA-256 of the state that a member begins with."""
        folder = pathlib.Path(self.folder).expanduser() / member.name
        path = folder / "states" / f"step-{self.step:08d}.safetensors"
        if not path.is_file():
            raise FileNotFoundError(
                f"no state at {path}; train with keeps_states, and checkpoints at the "
                "steps to branch off from."
            )
        return hashlib.sha256(path.read_bytes()).hexdigest()


# What a user measures of a member's weights, by name, in numbers.
Evaluate = Callable[[Parameters, Member], Mapping[str, float]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """What to train, on what, for how long, and what to keep.

    A field's comment is its help in `mcq-jax train CARD --help`.
    """

    # What it is called, and its checkpoints with it.
    title: str
    # The shape of every member.
    model: Annotated[ModelConfig, tyro.conf.Suppress]
    # Of the streams' tokens: checkpoints are saved with it.
    tokenizer: Annotated[TokenizerFile, tyro.conf.Suppress]
    # What differs between the models. Their batches have one shape.
    members: Annotated[tuple[Member, ...], tyro.conf.Suppress]
    # Optimiser steps in all.
    steps: int
    # Folder; runs/<title> where left out. A training started again resumes.
    out: str | None = None

    # Where to begin if not with initial weights: at another training's state.
    branch: Annotated[Branch | None, tyro.conf.Suppress] = None

    # What initial output matrices of feed-forward blocks are multiplied by.
    feedforward_start: float = 1.0

    # The learning rate after warming up: constant, or cosine, down to nothing at the
    # last step.
    schedule: str = "constant"
    # Steps from each of which on the learning rate is multiplied by a factor.
    drops: tuple[tuple[int, float], ...] = ()
    # Steps in which the learning rate rises from nothing, in a straight line.
    warm_up: int = 100
    # From this step on it falls to nothing in a straight line until the last one.
    decay_from: int | None = None
    # AdamW's.
    beta1: float = 0.9
    beta2: float = 0.98
    epsilon: float = 1e-8
    # Gradients of a larger norm are scaled down to it; inf: none are.
    largest_gradient: float = 1.0

    # float32; or bfloat16, in which the model computes while weights, moments and
    # losses stay in float32.
    precision: str = "float32"
    # Whether a gradient computes each layer twice, and keeps only what enters it.
    rematerialise: bool = False
    # Logits of so many tokens of the vocabulary at a time; all where left out.
    vocabulary_chunk: int | None = None
    # Rows whose gradient is computed at once, of a batch; what suits the machine where
    # left out. It changes sums by their rounding.
    rows_at_once: int | None = None
    # Devices as a grid for one member, such as data=4,model=2; several members are
    # dealt out over the devices.
    mesh: str = "auto"
    # Whether the data axis holds the layers' weights and moments in parts as well.
    fully_sharded: bool = False
    # Steps that one program runs before the host sees their losses.
    steps_at_once: int = 10

    # After which steps a member's weights are kept, each as a checkpoint of its own (0
    # are the initial ones); `log_spaced` makes such a list. The last step always is.
    checkpoints: tuple[int, ...] = ()
    # Whether the optimiser's numbers are kept beside each, so that others can branch
    # off there.
    keeps_states: bool = False
    # What is measured of each of them, into the curve.
    evaluate: Annotated[Evaluate | None, tyro.conf.Suppress] = None
    # What a killed training loses is so many steps at most.
    save_every: int = 500

    def __post_init__(self):
        check_kind(self.model, ModelConfig, "a model", "give a ModelConfig")
        check_kind(self.tokenizer, TokenizerFile, "a tokenizer", "give a TokenizerFile")
        if self.tokenizer.vocabulary_size > self.model.vocabulary:
            raise ValueError(
                f"the tokenizer has {self.tokenizer.vocabulary_size} tokens, the model "
                f"{self.model.vocabulary}; give the model at least as many."
            )
        bad = [drop for drop in self.drops if drop[0] < 1 or not drop[1] > 0]
        if bad:
            raise ValueError(
                f"drops of the learning rate {bad}; give steps of 1 or more, each with "
                "a factor above 0."
            )
        names = [member.name for member in self.members]
        if not names or len(set(names)) < len(names):
            raise ValueError(
                f"members are called {names}; give at least one, and each a name of "
                "its own."
            )
        for name in ("steps", "steps_at_once", "save_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; give at least 1.")
        self._check_words()
        first = 0 if self.branch is None else self.branch.step
        beyond = [s for s in self.checkpoints if not first <= s <= self.steps]
        if beyond:
            raise ValueError(
                f"checkpoints at {beyond} of steps {first} to {self.steps}; give some "
                "of those."
            )

        if self.branch is not None and not 0 <= self.branch.step < self.steps:
            raise ValueError(
                f"a branch from step {self.branch.step} to step {self.steps}; steps "
                "are counted on, so give more of them in all."
            )

    def _check_words(self) -> None:
        for name, known in (("schedule", SCHEDULES), ("precision", PRECISIONS)):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}; there are {', '.join(known)}."
                )
        if self.decay_from is not None and (
            self.schedule != "constant" or not 0 <= self.decay_from < self.steps
        ):
            raise ValueError(
                f"decay_from {self.decay_from} with a {self.schedule} schedule of "
                f"{self.steps} steps; give a step before the last of a constant one."
            )

    @property
    def kept_steps(self) -> tuple[int, ...]:
        """The steps after which weights are kept, in order."""
        return tuple(sorted({*self.checkpoints, self.steps}))


def log_spaced(steps: int, *, per_doubling: int = 2, first: int = 1) -> tuple[int, ...]:
    """Returns 0, and steps from the first to the last one that grow by equal factors.

    Args:
        steps: the last one.
        per_doubling: how many there are from a step to its double, where whole numbers
            allow it.
    """
    found, exponent = {0, steps}, 0
    while (step := round(first * 2 ** (exponent / per_doubling))) < steps:
        found.add(step)
        exponent += 1
    return tuple(sorted(found))


def folder_of(config: TrainingConfig) -> str:
    """Returns where a training is written."""
    return config.out or f"runs/{config.title.lower().replace(' ', '_')}"


def settings_of(config: TrainingConfig) -> dict[str, Any]:
    """Returns what of a config decides about numbers, members aside.

    The number of steps does only where the learning rate depends on it: a training of
    a constant one may be made longer.
    """
    left_out = {
        "title", "tokenizer", "members", "branch", "out", "checkpoints", "keeps_states",
        "evaluate", "save_every", "steps_at_once", "mesh", "fully_sharded",
    }  # fmt: skip
    if config.schedule == "constant" and config.decay_from is None:
        left_out.add("steps")
    names = [field.name for field in dataclasses.fields(config)]
    return {name: getattr(config, name) for name in names if name not in left_out}
