"""`PromptSet`: all prompts of a run as tokens, with what the analyses group them by."""

import dataclasses
import datetime
import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int, Shaped

from mcq_jax import learned, planted, prompts
from mcq_jax.checkpoints import Checkpoint
from mcq_jax.experiments.prompt_options import PromptOptions, read_moment
from mcq_jax.prompts import Question, TokenisedPrompt
from mcq_jax.sweeps.sources import prompts_of_pairs
from mcq_jax.training import corpus

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
    # What else a reader must know: repeated questions, fewer than were asked for.
    notes: tuple[str, ...] = ()

    @property
    def gold(self) -> Int[np.ndarray, " prompt"]:
        return np.array([prompt.gold for prompt in self.prompts])

    @property
    def question(self) -> Shaped[np.ndarray, " prompt"]:
        """The unit of every split and interval: the same for the same content."""
        return prompts.question_names(self.prompts)

    @property
    def gold_place(self) -> Int[np.ndarray, " prompt"]:
        """The line on which the right option stands."""
        return np.array([prompt.gold_place for prompt in self.prompts])

    @property
    def gold_letter(self) -> Int[np.ndarray, " prompt"]:
        """Its letter, as an index into the alphabet of the run's labels."""
        return np.array([prompt.gold_letter for prompt in self.prompts])

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
    def identity(self) -> list[Any]:
        """What the numbers of these prompts depend on."""
        return [prompt.identity for prompt in self.prompts]

    @property
    def choices(self) -> int:
        return len(self.prompts[0].answer_ids)

    @property
    def rotations(self) -> int:
        return 1 + int(self.rotation.max())


def check(options: PromptOptions) -> None:
    """Refuses missing questions and impossible wordings before weights are read."""
    if options.are_pairs:
        _load_pairs(options)
        return
    template, _ = template_of(options), _shots(options)
    asked = load_question_set(options).questions
    prompts.render(asked[0], template, labels=options.labels)
    counts = sorted({len(question.options) for question in asked})
    if len(counts) > 1:
        raise ValueError(
            f"questions of {options.questions} have {counts} options; give each number "
            "of options a run of its own."
        )


def make_prompts(
    options: PromptOptions,
    checkpoint: Checkpoint,
    moment: datetime.datetime | None = None,
) -> PromptSet:
    """Returns the prompts that a run asks, tokenised for its checkpoint.

    Args:
        moment: of chat templates that write the date, where the options give none.
    """
    if options.are_pairs:
        return _pairs(options, checkpoint)
    asked = load_question_set(options)
    template = template_of(options)
    shots = _shots(options)
    ask = asker(options, checkpoint, lambda: moment)
    kept, example, labels, left_out = [], "", (), 0
    for question in asked.questions:
        examples = (
            prompts.shots_for(question, shots, count=options.shots) if shots else ()
        )
        wordings = wordings_of(question, template, options)
        tokenised = [ask(wording, shots=examples) for wording in wordings]
        if _is_too_long(tokenised, options, checkpoint.config.context):
            left_out += 1
            continue
        kept += tokenised
        if not example:
            example = ask.rendered(wordings[0], shots=examples).text
        labels = wordings[0].labels
    if not kept:
        raise ValueError(
            f"all {left_out} questions of {options.questions} are longer than "
            f"{options.longest_prompt or checkpoint.config.context} tokens; raise "
            "longest_prompt, use fewer shots, or a model with a longer context."
        )
    return PromptSet(
        prompts=tuple(kept),
        pair_source=None,
        labels=labels,
        example=example,
        left_out=left_out,
        notes=asked.notes,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asker:
    """Makes a prompt's tokens of its wording, as a run's options want it asked."""

    checkpoint: Checkpoint
    chat: prompts.ChatTemplate | None

    def __call__(
        self, wording: prompts.Wording, *, shots: Sequence[Question] = ()
    ) -> TokenisedPrompt:
        rendered = self.rendered(wording, shots=shots)
        return prompts.tokenise(rendered, self.checkpoint.tokenizer)

    def rendered(
        self, wording: prompts.Wording, *, shots: Sequence[Question] = ()
    ) -> prompts.RenderedPrompt:
        return prompts.render_wording(wording, shots=shots, chat=self.chat)


def asker(
    options: PromptOptions,
    checkpoint: Checkpoint,
    moment: Callable[[], datetime.datetime | None],
) -> Asker:
    """Returns what makes tokens of wordings.

    Args:
        moment: of chat templates that write the date, where the options give none.
    """
    chat = None
    if options.inside_chat_template:
        given = options.moment
        when = moment() if given is None else read_moment(given, "moment")
        chat = prompts.chat_of(checkpoint.tokenizer, moment=when)
    return Asker(checkpoint=checkpoint, chat=chat)


def wordings_of(
    question: Question, template: prompts.Template, options: PromptOptions
) -> tuple[prompts.Wording, ...]:
    """Returns a question's rotations as the options have them asked."""
    wording = prompts.Wording(
        question=question, template=template, labels=options.labels or ()
    )
    turned = prompts.mutate(wording, "rotations")
    turned = turned if options.all_rotations else turned[:1]
    if options.mutation == "none":
        return turned
    return tuple(
        made
        for one in turned
        for made in prompts.mutate(one, options.mutation, seed=options.seed)
    )


def load_questions(options: PromptOptions) -> Sequence[Question]:
    """Returns the questions of a run."""
    return load_question_set(options).questions


def load_question_set(options: PromptOptions) -> prompts.QuestionSet:
    """Returns the questions of a run, and what was left out of them.

    A file's are asked in turns of its subjects, so that those studied, which are the
    first that pass the filter, are no more of one subject than the others are.
    """
    if options.questions == "planted":
        if options.subjects:
            raise ValueError(
                f"subjects {', '.join(options.subjects)} of planted questions, which "
                "have none; leave them out."
            )
        count = options.question_count or 24
        made = planted.generate_questions(
            count, choices=options.planted_choices, seed=options.seed
        )
        return prompts.QuestionSet(questions=made)
    found = prompts.load_question_set(
        _file_of(options.questions),
        count=options.question_count,
        seed=options.seed,
        subjects=options.subjects,
    )
    if options.questions in prompts.GENERATORS:  # drawn in no order to begin with
        return found
    return dataclasses.replace(
        found, questions=prompts.in_turns(found.questions, seed=options.seed)
    )


def _file_of(questions: str) -> str:
    return str(learned.QUESTIONS) if questions == "learned" else questions


def template_of(options: PromptOptions) -> prompts.Template:
    """Returns the template by which a run's questions are asked."""
    if options.questions == "planted":
        return planted.TEMPLATE
    if options.questions == "learned":
        return corpus.TEMPLATE
    known = {**prompts.TEMPLATES, corpus.TEMPLATE.name: corpus.TEMPLATE}
    if options.template not in known:
        raise ValueError(
            f"no template is called {options.template!r}; there are {', '.join(known)}."
        )
    return known[options.template]


def _shots(options: PromptOptions):
    if not options.shots:
        return {}
    source = options.shots_from or options.questions
    if source == "planted":
        raise ValueError(
            f"{options.shots} worked examples of planted questions, which have none; "
            "name a file of others (shots_from), or give 0 shots."
        )
    source = _file_of(source)
    shots = prompts.load_shots(source, count=options.shots, seed=options.seed + 1)
    return shots


def _is_too_long(
    tokenised: Sequence[TokenisedPrompt], options: PromptOptions, context: int
) -> bool:
    limit = min(options.longest_prompt or context, context)
    longest = max(len(prompt.ids) for prompt in tokenised)
    if longest > limit:
        _log.info(
            "question %s left out: %d tokens for a limit of %d",
            tokenised[0].question,
            longest,
            limit,
        )
    return longest > limit


def _load_pairs(options: PromptOptions) -> prompts.PairSet:
    if options.questions == "word_repetition":
        return prompts.word_repetition(options.question_count or 60, seed=options.seed)
    return prompts.load_pair_set(
        options.questions, count=options.question_count, seed=options.seed
    )


def _pairs(options: PromptOptions, checkpoint: Checkpoint) -> PromptSet:
    loaded = _load_pairs(options)
    context = checkpoint.config.context
    context = min(options.longest_prompt or context, context)
    both = [
        prompts.tokenise_pair(pair, checkpoint.tokenizer, context=context)
        for pair in loaded.pairs
    ]
    asked, sources = prompts_of_pairs(both)
    return PromptSet(
        prompts=asked,
        pair_source=sources.index[:, 0],
        labels=tuple(f"answer {i}" for i in range(len(asked[0].answer_ids))),
        example=loaded.pairs[0].clean,
        left_out=0,
        notes=loaded.notes,
    )
