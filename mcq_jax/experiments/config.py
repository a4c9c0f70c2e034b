"""`RunConfig`: one run from questions to report; a run card in `configs/` has one."""

import dataclasses

from mcq_jax import planted
from mcq_jax.metrics import Thresholds
from mcq_jax.planted.channels import LETTERS


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What to ask of which model, and how much of it."""

    # Every field has a comment of its own: `mcq-jax run CONFIG --help` shows it.
    # What stands at the top of the report.
    title: str
    # A Hugging Face folder, a GGUF file, a model's name on the hub (org/name), or
    # "planted" for a model with a known circuit.
    model: str
    # word_copy, copy_colour, a JSONL file, MMLU's CSV file or folder; "planted" for a
    # planted model's own questions. A JSONL file of pairs if `are_pairs`.
    questions: str
    # Folder of the run, local or gs://bucket/…, s3://bucket/…; runs/<title> where left
    # out. A run started again resumes.
    out: str | None = None

    # Whether `questions` are pairs of a clean and a source prompt.
    are_pairs: bool = False
    # How many questions, drawn evenly over subjects; None: all.
    question_count: int | None = None
    # Only questions on these subjects, as files name them; none: all.
    subjects: tuple[str, ...] = ()
    # Questions with a longer prompt, in tokens, are left out and counted; None: the
    # model's context.
    longest_prompt: int | None = None
    # Draws questions, sources, splits, random sets and resamples.
    seed: int = 0

    # paper, plain_paren or harness.
    template: str = "plain_paren"
    # Labels of the options; A, B, C, … where left out.
    labels: tuple[str, ...] | None = None
    # Worked examples per prompt.
    shots: int = 0
    # Where worked examples come from; the questions' own source where left out.
    shots_from: str | None = None
    # Whether prompts stand inside the checkpoint's chat template.
    inside_chat_template: bool = False
    # Ask every question with the right option in each place.
    all_rotations: bool = True

    # Which planted model.
    planted_seed: int = 0
    # Options per question of a planted model, 2 to 10.
    planted_choices: int = 4
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
    # Questions whose nodes are patched, out of those that pass the filter.
    effect_questions: int = 50
    # Keep only questions right in every rotation after subtracting the letter prior.
    filters: bool = True
    # Share of the questions on which nodes are chosen; the others test them.
    choosing_fraction: float = 0.5
    # Share of net(x) - net(x') that the chosen nodes' direct effects must reach.
    selection_share: float = 0.8
    # Sets of random nodes that the chosen ones are held against.
    random_sets: int = 10
    # Also patch every node at all earlier positions, by full passes, for so many
    # questions (costs nodes × questions passes: for small models).
    earlier_position_questions: int = 0
    # What makes a head a correct-letter head, an amplifier, …; fixed before looking.
    thresholds: Thresholds = Thresholds()

    def __post_init__(self):
        variants = [variant.name.lower() for variant in planted.Variant]
        if self.planted_variant not in variants:
            raise ValueError(
                f"planted_variant is {self.planted_variant!r}; there are "
                f"{', '.join(variants)}."
            )
        if not 2 <= self.planted_choices <= LETTERS:
            raise ValueError(
                f"planted_choices is {self.planted_choices}; a planted model has 2 to "
                f"{LETTERS} options."
            )
        for name in ("question_count", "longest_prompt", "batch", "random_sets"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}; give at least 1.")
        if not 0 < self.choosing_fraction < 1 or not 0 < self.selection_share <= 1:
            raise ValueError(
                f"choosing_fraction {self.choosing_fraction} and selection_share "
                f"{self.selection_share} are shares; give numbers between 0 and 1."
            )
        if self.effect_questions < 4:
            raise ValueError(
                f"effect_questions is {self.effect_questions}; two splits with "
                "intervals need at least 4 questions."
            )
