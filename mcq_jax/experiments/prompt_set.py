"""`PromptSet`: all prompts of a run as tokens, with what the analyses group them by."""

import dataclasses
import logging
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int, Shaped

from mcq_jax import planted, prompts
from mcq_jax.checkpoints import Checkpoint
from mcq_jax.experiments.config import RunConfig
from mcq_jax.prompts import Question, TokenisedPrompt
from mcq_jax.sweeps.sources import prompts_of_pairs

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PromptSet:
    """The prompts of a run: a question's rotations stand side by side."""

    prompts: tuple[TokenisedPrompt, ...]
    # The prompt that a pair's clean prompt is patched from; None for questions.
    pair_source: Int[np.ndarray, " prompt"] | None
    labels: tuple[str, ...]
    # Text of the first prompt, and questions left out for their length.
    example: str
    left_out: int

    @property
    def gold(self) -> Int[np.ndarray, " prompt"]:
        return np.array([prompt.gold for prompt in self.prompts])

    @property
    def question(self) -> Shaped[np.ndarray, " prompt"]:
        return np.array([prompt.question for prompt in self.prompts])

    @property
    def rotation(self) -> Int[np.ndarray, " prompt"]:
        return np.array([prompt.rotation for prompt in self.prompts])

    @property
    def subject(self) -> Shaped[np.ndarray, " prompt"]:
        return np.array([prompt.subject for prompt in self.prompts])

    @property
    def length(self) -> Int[np.ndarray, " prompt"]:
        return np.array([len(prompt.ids) for prompt in self.prompts])

    @property
    def choices(self) -> int:
        return len(self.prompts[0].answer_ids)

    @property
    def rotations(self) -> int:
        return 1 + int(self.rotation.max())


def check(config: RunConfig) -> None:
    """Refuses missing questions and impossible wordings before weights are read."""
    if config.are_pairs:
        prompts.read_pairs(config.questions)
        return
    template, _ = _template(config), _shots(config)
    asked = load_questions(config)
    prompts.render(asked[0], template, labels=config.labels)
    counts = sorted({len(question.options) for question in asked})
    if len(counts) > 1:
        raise ValueError(
            f"questions of {config.questions} have {counts} options; give each number "
            "of options a run of its own."
        )


def make_prompts(config: RunConfig, checkpoint: Checkpoint) -> PromptSet:
    """Returns the prompts that a run asks, tokenised for its checkpoint."""
    if config.are_pairs:
        return _pairs(config, checkpoint)
    asked = load_questions(config)
    template = _template(config)
    shots = _shots(config)
    chat = (
        prompts.chat_of(checkpoint.tokenizer) if config.inside_chat_template else None
    )
    kept, example, labels, left_out = [], "", (), 0
    for question in asked:
        examples = prompts.shots_for(question, shots) if shots else ()
        rendered = prompts.render_rotations(
            question, template, labels=config.labels, shots=examples, chat=chat
        )
        rendered = rendered if config.all_rotations else rendered[:1]
        tokenised = [prompts.tokenise(r, checkpoint.tokenizer) for r in rendered]
        if _is_too_long(tokenised, config, checkpoint.config.context):
            left_out += 1
            continue
        kept += tokenised
        example, labels = example or rendered[0].text, rendered[0].labels
    if not kept:
        raise ValueError(
            f"all {left_out} questions of {config.questions} are longer than "
            f"{config.longest_prompt or checkpoint.config.context} tokens; raise "
            "longest_prompt, use fewer shots, or a model with a longer context."
        )
    return PromptSet(
        prompts=tuple(kept),
        pair_source=None,
        labels=labels,
        example=example,
        left_out=left_out,
    )


def load_questions(config: RunConfig) -> Sequence[Question]:
    """Returns the questions of a run."""
    if config.questions == "planted":
        count = config.question_count or 24
        return planted.generate_questions(
            count, choices=config.planted_choices, seed=config.seed
        )
    return prompts.load_questions(
        config.questions,
        count=config.question_count,
        seed=config.seed,
        subjects=config.subjects,
    )


def _template(config: RunConfig) -> prompts.Template:
    if config.questions == "planted":
        return planted.TEMPLATE
    if config.template not in prompts.TEMPLATES:
        raise ValueError(
            f"no template is called {config.template!r}; there are "
            f"{', '.join(prompts.TEMPLATES)}."
        )
    return prompts.TEMPLATES[config.template]


def _shots(config: RunConfig):
    if not config.shots:
        return {}
    source = config.shots_from or config.questions
    shots = prompts.load_shots(source, count=config.shots, seed=config.seed + 1)
    return shots


def _is_too_long(
    tokenised: Sequence[TokenisedPrompt], config: RunConfig, context: int
) -> bool:
    limit = min(config.longest_prompt or context, context)
    longest = max(len(prompt.ids) for prompt in tokenised)
    if longest > limit:
        _log.info(
            "question %s left out: %d tokens for a limit of %d",
            tokenised[0].question,
            longest,
            limit,
        )
    return longest > limit


def _pairs(config: RunConfig, checkpoint: Checkpoint) -> PromptSet:
    pairs = prompts.read_pairs(config.questions)[: config.question_count]
    context = checkpoint.config.context
    context = min(config.longest_prompt or context, context)
    both = [
        prompts.tokenise_pair(pair, checkpoint.tokenizer, context=context)
        for pair in pairs
    ]
    asked, sources = prompts_of_pairs(both)
    return PromptSet(
        prompts=asked,
        pair_source=sources.index[:, 0],
        labels=tuple(f"answer {i}" for i in range(len(asked[0].answer_ids))),
        example=pairs[0].clean,
        left_out=0,
    )
