"""`RunConfig`: one run from questions to report; a run card in `configs/` has one."""

import dataclasses

from mcq_jax.metrics import Thresholds


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What to ask of which model, and how much of it. Every field is a CLI flag."""

    # What stands at the top of the report.
    title: str
    # A Hugging Face folder, a GGUF file, or "planted" for a model with a known circuit.
    model: str
    # word_copy, copy_colour, a JSONL file, MMLU's CSV file or folder; "planted" for a
    # planted model's own questions. A JSONL file of pairs if `are_pairs`.
    questions: str
    # Folder of the run; runs/<title> where left out. A run started again resumes.
    out: str | None = None

    are_pairs: bool = False
    # How many questions (None: all), of which subjects (none: all), drawn by `seed`.
    question_count: int | None = None
    subjects: tuple[str, ...] = ()
    # Questions with a longer prompt are left out and counted; None: the context.
    longest_prompt: int | None = None
    seed: int = 0

    # paper, plain_paren or harness.
    template: str = "plain_paren"
    # A, B, C, … where left out.
    labels: tuple[str, ...] | None = None
    # Worked examples per prompt, and where they come from.
    shots: int = 0
    shots_from: str | None = None
    inside_chat_template: bool = False
    # Ask every question with the right option in each place.
    all_rotations: bool = True

    # Seed, options and variant (ordinal, letter, mixed) of a planted model.
    planted_seed: int = 0
    planted_choices: int = 4
    planted_variant: str = "ordinal"

    # Weights and activations: float32, or bfloat16 on accelerators.
    dtype: str = "float32"
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
    random_sets: int = 10
    # Also patch every node at all earlier positions, by full passes, for so many
    # questions (costs nodes × questions passes: for small models).
    earlier_position_questions: int = 0
    thresholds: Thresholds = Thresholds()

    def __post_init__(self):
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
