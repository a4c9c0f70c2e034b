"""`RunConfig`: one run from questions to report; a run card in `configs/` has one."""

import dataclasses
from typing import Annotated, Any

import tyro

from mcq_jax import planted
from mcq_jax.experiments.behaviour import Behaviour
from mcq_jax.experiments.experiment import Experiment, check_needs
from mcq_jax.experiments.head_classes import HeadClasses
from mcq_jax.experiments.joint_tests import JointTests
from mcq_jax.experiments.node_effects import NodeEffects
from mcq_jax.experiments.planted_truth import PlantedTruth
from mcq_jax.experiments.prompt_options import (
    Mutated,
    PromptOptions,
    check_at_least,
)

# What a run does unless its card lists something else.
USUAL: tuple[Experiment, ...] = (
    Behaviour(), NodeEffects(), JointTests(), HeadClasses(), PlantedTruth(),
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig(PromptOptions):
    """What to ask of which model, and which experiments to run on it.

    A field's comment is its help in `mcq-jax run CONFIG --help`.
    """

    # What stands at the top of the report.
    title: str
    # A Hugging Face folder, a GGUF file, a model's name on the hub (org/name), or
    # "planted" for a model with a known circuit, or "learned" for a small one that
    # comes with the package.
    model: str
    # Folder of the run, local or gs://bucket/…, s3://bucket/…; runs/<title> where left
    # out. A run started again resumes.
    out: str | None = None
    # Which experiments, with their options; what is not listed is not run.
    experiments: Annotated[tuple[Any, ...], tyro.conf.Suppress] = USUAL
    # Further prompts that experiments may ask for by name, each with its own questions,
    # template and labels, or the main ones mutated.
    other_prompts: Annotated[
        tuple[PromptOptions | Mutated, ...], tyro.conf.Suppress
    ] = ()

    # Which planted model.
    planted_seed: int = 0
    # What a planted model goes by: ordinal, letter, mixed.
    planted_variant: str = "ordinal"

    # Weights and activations: float32, or bfloat16 on accelerators.
    dtype: str = "float32"
    # How the layers' matrices are kept: full (in dtype), or int8 with a scale per
    # output channel, for models that would not fit.
    weights_as: str = "full"
    # Devices as a grid, such as data=4,model=2: prompts are split along data, heads,
    # neurons and vocabulary along model. auto: all devices, the model split as little
    # as its weights allow; on a CPU alone one device.
    mesh: str = "auto"
    # Whether the data axis holds the layers' weights in parts as well.
    fully_sharded: bool = False
    # Prompts in one batch of plain passes.
    batch: int = 8
    # Questions whose nodes are patched: the first asked that pass the filter.
    effect_questions: int = 50
    # Explain only questions right in every rotation after subtracting the letter prior:
    # those that are studied, and fresh ones that are read beside.
    filters: bool = True
    # Share of the questions on which nodes are chosen; the others test them.
    choosing_fraction: float = 0.5

    def __post_init__(self):
        super().__post_init__()
        variants = [variant.name.lower() for variant in planted.Variant]
        if self.planted_variant not in variants:
            raise ValueError(
                f"planted_variant is {self.planted_variant!r}; there are "
                f"{', '.join(variants)}."
            )
        check_at_least(self, 1, "batch")
        if not 0 < self.choosing_fraction < 1:
            raise ValueError(
                f"choosing_fraction is {self.choosing_fraction}, a share; give a "
                "number between 0 and 1."
            )
        if self.effect_questions < 4:
            raise ValueError(
                f"effect_questions is {self.effect_questions}; two splits with "
                "intervals need at least 4 questions."
            )
        check_needs(self.experiments)
        names = self.prompt_names
        if len(set(names)) < len(names):
            raise ValueError(
                f"prompts are called {', '.join(names)}; give each a name of its own."
            )

    @property
    def prompt_names(self) -> tuple[str, ...]:
        """What the main prompts and the others are called."""
        return (self.name, *(other.name for other in self.other_prompts))

    @property
    def all_prompts(self) -> tuple[PromptOptions, ...]:
        """The main prompts, and the others as they come to be asked.

        Raises:
            ValueError: if the main prompts are such that their mutations are none.
        """
        return tuple(map(self.prompts_called, self.prompt_names))

    def prompts_called(self, name: str) -> PromptOptions:
        """Returns one of them by its name."""
        for one in (self, *self.other_prompts):
            if one.name == name:
                return one.of(self) if isinstance(one, Mutated) else one
        raise ValueError(
            f"no prompts are called {name!r}; the card has "
            f"{', '.join(self.prompt_names)}."
        )
