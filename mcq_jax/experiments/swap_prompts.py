"""`SwapPrompts`: a form's pairs as tokens, of questions by which nothing was named."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int, Shaped

from mcq_jax import prompts
from mcq_jax.experiments.behaviour import names_to_read
from mcq_jax.experiments.manifest import moment_of
from mcq_jax.experiments.prompt_set import asker, load_questions, template_of
from mcq_jax.prompts import SWAP_FORMS, SwapForm, SwapPair, TokenisedPrompt, Wording

if TYPE_CHECKING:
    from mcq_jax.experiments.lab import Lab

NO_LINE = -1


@dataclasses.dataclass(frozen=True, kw_only=True)
class SwapPrompts:
    """Rows of one base and one source each; rows of a base stand side by side."""

    form: SwapForm
    bases: tuple[TokenisedPrompt, ...]
    # Which base each row is, and what it takes from.
    base: Int[np.ndarray, " row"]
    sources: tuple[TokenisedPrompt, ...]
    # Where in the base stands what the source points to (`prompts.lines_of`, and
    # offset: the label as many tokens before the end); -1: nowhere.
    lines: dict[str, Int[np.ndarray, " row"]]

    @property
    def identity(self) -> dict[str, Any]:
        """What tables of these rows depend on."""
        return {
            "base": [self.bases[i].identity for i in self.base],
            "source": [prompt.identity for prompt in self.sources],
        }

    @property
    def choices(self) -> int:
        return len(self.bases[0].answer_ids)

    @property
    def questions(self) -> tuple[Shaped[np.ndarray, " row"], ...]:
        """The question of each row's base, and of its source."""
        bases = np.array([prompt.content_id for prompt in self.bases])
        return bases[self.base], np.array([p.content_id for p in self.sources])

    def chunks(self, bases: int) -> list[Int[np.ndarray, " row"]]:
        """Rows that run together: those of a few bases."""
        groups = np.array_split(
            np.arange(len(self.bases)), -(-len(self.bases) // bases)
        )
        return [np.flatnonzero(np.isin(self.base, group)) for group in groups]


def fresh_questions(lab: "Lab", at_most: int) -> list[prompts.Question]:
    """Returns the first of the run's fresh questions, to be worded anew."""
    wanted = set(names_to_read(lab, at_most))
    names = zip(lab.prompts.prompts, lab.prompts.question.tolist(), strict=True)
    contents = {prompt.content_id for prompt, name in names if name in wanted}
    return [q for q in load_questions(lab.config) if q.content_id in contents]


def fresh_prompts(lab: "Lab", mutation: str, at_most: int) -> list[TokenisedPrompt]:
    """Returns fresh questions in every rotation, under labels of a mutation."""
    config = lab.config
    ask = asker(config, lab.checkpoint, lambda: moment_of(lab.folder.path))
    wordings = [
        Wording(question=q, template=template_of(config), labels=config.labels or ())
        for q in fresh_questions(lab, at_most)
    ]
    return [
        ask(made)
        for wording in wordings
        for made in prompts.mutate(wording, f"rotations + {mutation}", seed=config.seed)
    ]


def swap_prompts(
    lab: "Lab", form: str | SwapForm, questions: Sequence[prompts.Question]
) -> SwapPrompts:
    """Returns pairs of a form, put as the run's own prompts are.

    Args:
        questions: those that are bases and sources.
    """
    if isinstance(form, str):
        form = form_of(form)
    config = lab.config
    if config.shots:
        raise ValueError(
            f"swaps of the form {form.name!r} and {config.shots} worked examples, "
            "whose labels would stay as they are; leave the examples out."
        )
    asked = [
        Wording(question=q, template=template_of(config), labels=config.labels or ())
        for q in questions
    ]
    pairs = prompts.swap_pairs(asked, form, seed=config.seed)
    ask = asker(config, lab.checkpoint, lambda: moment_of(lab.folder.path))
    return tokenised_pairs(pairs, form, ask)


def tokenised_pairs(pairs: tuple[SwapPair, ...], form: SwapForm, ask) -> SwapPrompts:
    """Returns pairs as tokens; `ask` makes a prompt's tokens of its wording."""
    wordings = list(dict.fromkeys(pair.base for pair in pairs))
    base = np.array([wordings.index(pair.base) for pair in pairs])
    bases = tuple(ask(wording) for wording in wordings)
    sources = tuple(ask(pair.source) for pair in pairs)
    lines = {
        name: np.array([NO_LINE if p.lines[name] is None else p.lines[name]
                        for p in pairs])
        for name in pairs[0].lines
    }  # fmt: skip
    rows = zip(base, sources, strict=True)
    lines["offset"] = np.array([_at_offset(bases[i], source) for i, source in rows])
    return SwapPrompts(form=form, bases=bases, base=base, sources=sources, lines=lines)


def form_of(name: str) -> SwapForm:
    """Returns the form of a name."""
    if name not in SWAP_FORMS:
        raise ValueError(
            f"no form of swaps is called {name!r}; there are {', '.join(SWAP_FORMS)}."
        )
    return SWAP_FORMS[name]


def _at_offset(base: TokenisedPrompt, source: TokenisedPrompt) -> int:
    """The base's label that is as far from its end as the source's right one."""
    wanted = len(source.ids) - source.label_positions[source.gold]
    return int(np.abs(len(base.ids) - base.label_positions - wanted).argmin())
