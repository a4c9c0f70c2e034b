"""Does the model know the text, whatever it does with the letter?

The same questions without options, each option's text as what comes next: log P(text |
question), summed, by token, and less log P(text | the cue alone), since some texts are
likelier anywhere. Chosen without the question is the control. Beside stand the letters
that the model chose where options were shown.
"""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from mcq_jax import passes, prompts
from mcq_jax.experiments.behaviour import asked
from mcq_jax.experiments.experiment import Experiment
from mcq_jax.experiments.manifest import moment_of
from mcq_jax.experiments.prompt_options import check_at_least
from mcq_jax.experiments.prompt_set import asker, load_questions, template_of
from mcq_jax.metrics import Interval, statistics
from mcq_jax.metrics.behaviour import is_correct
from mcq_jax.prompts import ClozePrompt
from mcq_jax.results import ClozeFindings, ScoredBy
from mcq_jax.results.cloze_findings import AGAINST, CONTROL, MEAN, SUM

if TYPE_CHECKING:
    from mcq_jax.experiments.lab import Lab


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cloze(Experiment):
    """Scores options by their texts, with no options shown."""

    name = "cloze"
    findings = ClozeFindings
    needs = ("behaviour",)
    explains = False

    # Questions that run together.
    batch: int = 8

    def __post_init__(self):
        check_at_least(self, 1, "batch")

    def applies(self, lab: "Lab") -> bool:
        return not lab.config.are_pairs

    def run(self, lab: "Lab") -> ClozeFindings:
        given = cloze_prompts(lab, shows_question=True)
        alone = cloze_prompts(lab, shows_question=False)
        scores = measure(lab, given, self.batch), measure(lab, alone, self.batch)
        tokens = np.array([_counts(prompt) for prompt in given])
        found = describe(*scores, tokens, given, _letters(lab), seed=lab.config.seed)
        return dataclasses.replace(found, example=given[0].text)


def cloze_prompts(lab: "Lab", *, shows_question: bool) -> tuple[ClozePrompt, ...]:
    """Returns one prompt for each question of the main prompts, in their order."""
    config = lab.config
    chat = asker(config, lab.checkpoint, lambda: moment_of(lab.folder.path)).chat
    by_content = {one.content_id: one for one in load_questions(config)}
    order = dict.fromkeys(prompt.content_id for prompt in lab.prompts.prompts)
    return tuple(
        prompts.cloze(
            by_content[content], lab.checkpoint.tokenizer, template_of(config),
            shows_question=shows_question, chat=chat,
            context=lab.checkpoint.config.context,
        )
        for content in order
    )  # fmt: skip


def measure(lab: "Lab", given: tuple[ClozePrompt, ...], batch: int) -> np.ndarray:
    """The table `cloze`: nats of every option's text, `[question, option]`."""
    tokens, lengths, starts = prompts.cloze_rows(given)
    options = len(given[0].ids)
    longest = lengths.reshape(-1, options).max(axis=1)
    order = np.argsort(-longest, kind="stable")
    chunks = [order[i : i + batch] for i in range(0, len(order), batch)]

    def work(chunk: np.ndarray):
        rows = (chunk[:, None] * options + np.arange(options)).ravel()
        width = -(-int(lengths[rows].max()) // 8) * 8  # few widths, few programs
        here = np.pad(tokens[rows], [(0, 0), (0, 8)])[:, :width]
        found = passes.continuation_logprobs(
            lab.checkpoint.parameters, here, lengths[rows], starts[rows],
            config=lab.checkpoint.config, repeats=len(chunks),
        )  # fmt: skip
        return found.reshape(-1, options)

    made_of = {"prompts": [[*one.ids, one.starts] for one in given], "chunks": chunks}
    table = lab.table("cloze", made_of).complete(
        chunks,
        work,
        lambda chunk, found: {"question": chunk, "logprob": found},
        track=lab.track("scoring texts"),
    )
    return table["logprob"][np.argsort(table["question"])]


def describe(
    given: np.ndarray,
    alone: np.ndarray,
    tokens: np.ndarray,
    prompts: tuple[ClozePrompt, ...],
    letters: dict[str, np.ndarray],
    *,
    seed: int,
) -> ClozeFindings:
    """Returns accuracies by text beside those by letter, one question one unit.

    Args:
        given: nats of each text behind its question, `[question, option]`.
        alone: and behind the cue alone.
        tokens: how many tokens each text has.
        letters: whether each order of a question's options was answered rightly.
    """
    gold = np.array([prompt.gold for prompt in prompts])
    question = np.arange(len(gold))
    right = [letters[prompt.content_id] for prompt in prompts]
    by_letter = np.array([one.mean() for one in right])
    always = np.array([one.all() for one in right])
    ways = {
        SUM: given, MEAN: given / tokens, AGAINST: given - alone, CONTROL: alone,
    }  # fmt: skip

    def interval(values: np.ndarray) -> Interval:
        return statistics.interval(values, question, seed=seed)

    found = []
    for by, scores in ways.items():
        knows = is_correct(scores, gold)
        found.append(
            ScoredBy(
                by=by,
                accuracy=interval(knows),
                letter_less_this=interval(by_letter - knows),
                both=int((knows & always).sum()),
                text_only=int((knows & ~always).sum()),
                letter_only=int((~knows & always).sum()),
                neither=int((~knows & ~always).sum()),
            )
        )
    return ClozeFindings(
        scores=tuple(found),
        by_letter=interval(by_letter),
        chance=1 / given.shape[1],
        questions=len(gold),
        example="",
    )


def _counts(prompt: ClozePrompt) -> np.ndarray:
    """Tokens of each option's text."""
    return np.array([len(ids) for ids in prompt.ids]) - prompt.starts


def _letters(lab: "Lab") -> dict[str, np.ndarray]:
    """By content whether the letter was right, in every order that was asked."""
    table = asked(lab)
    right = is_correct(table["answer_logits"], table["gold"])
    contents = np.array([prompt.content_id for prompt in lab.prompts.prompts])
    return {one: right[contents == one] for one in np.unique(contents).tolist()}
