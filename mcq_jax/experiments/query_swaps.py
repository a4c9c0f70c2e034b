"""Do correct-letter heads ask for a place, or for a letter? Their queries swapped.

A base prompt answers while some heads' queries, or the whole residual stream of its
last token, are those of a source prompt: another question, whose right option stands on
another line and carries another label. *Follow-D* says how far the base's choice goes
where the source points, as a place, as a letter. With random letters that have none in
common, only a place can be followed; with permuted letters of one alphabet, place and
letter fall on different lines.

Fresh questions only: none of those that were studied, by which heads were named.
"""

import dataclasses
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from mcq_jax import metrics, passes
from mcq_jax.experiments import route_edits
from mcq_jax.experiments.experiment import Experiment
from mcq_jax.experiments.prompt_options import check_at_least
from mcq_jax.experiments.prompt_set import PromptSet
from mcq_jax.experiments.route_rows import (
    RANDOM_HEADS,
    THOSE_HEADS,
    letter_heads,
    mask_of,
    random_heads,
)
from mcq_jax.interventions import Site, patch
from mcq_jax.prompts import TokenBatch, TokenisedPrompt, batch_of
from mcq_jax.results import Followed, QuerySwapsFindings, SwapsFound

if TYPE_CHECKING:
    from mcq_jax.experiments.lab import Lab

RESIDUAL = "residual stream"


@dataclasses.dataclass(frozen=True, kw_only=True)
class QuerySwaps(Experiment):
    """Puts queries, or the residual at the last token, of one prompt into another."""

    name = "query_swaps"
    findings = QuerySwapsFindings
    needs = ("head_classes",)

    # Names of prompt sets, base and source of each form; see the card's other_prompts.
    forms: tuple[tuple[str, str], ...] = (("main", "main"),)
    # Prompts of each fresh question that are bases.
    prompts_per_question: int = 1
    # Every so many layers the whole residual is interchanged.
    layer_step: int = 1
    random_draws: int = 2

    def __post_init__(self):
        check_at_least(self, 1, "prompts_per_question", "layer_step", "random_draws")

    def applies(self, lab: "Lab") -> bool:
        return not lab.config.are_pairs

    def run(self, lab: "Lab") -> QuerySwapsFindings:
        heads = letter_heads(lab)
        draws = random_heads(
            heads, lab.checkpoint.config.heads, self.random_draws, lab.config.seed
        )
        swaps = Swaps(
            names=(THOSE_HEADS,) + (RANDOM_HEADS,) * self.random_draws if heads else (),
            heads=np.stack([mask_of(h, lab.checkpoint.config) for h in (heads, *draws)])
            if heads
            else np.zeros((0, 0, 0, 0), bool),
            layers=np.arange(0, lab.checkpoint.config.layers, self.layer_step),
        )
        forms = [
            _form(lab, base, source, swaps, self.prompts_per_question)
            for base, source in self.forms
        ]
        return QuerySwapsFindings(
            forms=tuple(forms),
            letter_heads=tuple(f"L{layer}H{head}" for layer, head in heads),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Swaps:
    """What is put into the base: some heads' queries, or the residual of a layer."""

    names: tuple[str, ...]
    heads: Bool[np.ndarray, "swap layer kv_head group"]
    layers: Int[np.ndarray, " layer"]

    @property
    def titles(self) -> list[tuple[str, int | None]]:
        """Who, and from which layer on."""
        found: list[tuple[str, int | None]] = [(name, None) for name in self.names]
        return found + [(RESIDUAL, int(layer)) for layer in self.layers]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Draw:
    """Which prompts are bases, and for each place a source that points there."""

    base: Int[np.ndarray, " base"]
    source: Int[np.ndarray, "base place"]


def _form(
    lab: "Lab", base_name: str, source_name: str, swaps: Swaps, per_question: int
) -> SwapsFound:
    base, source = _set(lab, base_name), _set(lab, source_name)
    draw = _draw(lab, base, source, per_question)
    table = _measure(lab, base, source, draw, swaps)
    return _describe(lab, (base_name, source_name), (base, source), draw, table, swaps)


def _set(lab: "Lab", name: str) -> PromptSet:
    if name not in lab.prompt_sets:
        raise ValueError(
            f"query_swaps names the prompts {name!r}; the card has "
            f"{', '.join(lab.prompt_sets)}. Add them to other_prompts."
        )
    return lab.prompt_sets[name]


def _draw(lab: "Lab", base: PromptSet, source: PromptSet, per_question: int) -> Draw:
    """Bases of fresh questions; for each and every place a source of another one."""
    used = set(lab.studied.question.tolist())
    generator = np.random.default_rng(lab.config.seed)
    fresh = [i for i, q in enumerate(base.question.tolist()) if q not in used]
    bases: list[int] = []
    if not fresh:
        raise ValueError(
            f"all {len(used)} questions were studied, and heads were named by them; "
            "ask more (question_count) than are studied (effect_questions)."
        )
    for question in dict.fromkeys(base.question[fresh].tolist()):
        own = [i for i in fresh if base.question[i] == question]
        size = min(per_question, len(own))
        bases += sorted(generator.choice(own, size, replace=False).tolist())
    is_fresh = ~np.isin(source.question, list(used))
    places = range(source.choices)
    drawn = np.zeros((len(bases), source.choices), int)
    for row, index in enumerate(bases):
        other = is_fresh & (source.question != base.question[index])
        for place in places:
            pool = np.flatnonzero(other & (source.gold_place == place))
            if not len(pool):
                raise ValueError(
                    f"no fresh prompt has its right option on line {place + 1}; ask "
                    "more questions than are studied, in every rotation."
                )
            drawn[row, place] = generator.choice(pool)
    return Draw(base=np.array(bases), source=drawn)


def _measure(
    lab: "Lab", base: PromptSet, source: PromptSet, draw: Draw, swaps: Swaps
) -> dict[str, np.ndarray]:
    """The table `query_swaps`: answer logits of every base under every swap."""
    prompts = {
        "base": [base.prompts[i].identity for i in draw.base],
        "source": [[source.prompts[i].identity for i in row] for row in draw.source],
    }
    made_of: dict[str, Any] = {**prompts, "swaps": swaps}
    chunks = np.array_split(np.arange(len(draw.base)), -(-len(draw.base) // 4))

    def work(chunk: np.ndarray) -> tuple[Array, ...]:
        return _of_chunk(
            lab,
            [base.prompts[draw.base[i]] for i in chunk],
            [[source.prompts[j] for j in draw.source[i]] for i in chunk],
            swaps,
        )

    names = ("base_logits", "source_logits", "patched_logits")
    table = lab.table("query_swaps", made_of).complete(
        chunks, work,
        lambda chunk, found: {"row": chunk, **dict(zip(names, found, strict=True))},
        track=lab.track("interchanging queries"),
    )  # fmt: skip
    order = np.argsort(table["row"])
    return {name: column[order] for name, column in table.items()}


def _of_chunk(
    lab: "Lab",
    bases: list[TokenisedPrompt],
    sources: list[list[TokenisedPrompt]],
    swaps: Swaps,
) -> tuple[Array, Array, Array]:
    config, parameters = lab.checkpoint.config, lab.checkpoint.parameters
    count, places = len(bases), len(sources[0])
    batch = batch_of([*bases, *(prompt for row in sources for prompt in row)])
    start = passes.prefill(
        parameters, batch.ids, batch.lengths, config=config, sites=(Site.Q,)
    )

    def read(final: Array, answers: np.ndarray) -> Float[Array, "prompt *rows choice"]:
        logits, _ = passes.read_answers(
            parameters.unembedding, final, answers, config=config,
            full_vocabulary=False,
        )  # fmt: skip
        return logits

    plain = read(start.final[:, None], batch.answer_ids)[:, 0]
    kinds = [
        _swapped(lab, start, batch, count, places, mask) for mask in swaps.heads
    ] + [_moved(lab, start, batch, count, places, int(at)) for at in swaps.layers]
    final = jnp.stack(kinds, 1).reshape(count, places, len(kinds), -1)
    return (
        plain[:count],
        plain[count:].reshape(count, places, -1),
        read(final, batch.answer_ids[:count]),
    )


def _rows(count: int, places: int) -> tuple[np.ndarray, np.ndarray]:
    """Base and source of every row, as places in the batch."""
    return np.repeat(np.arange(count), places), count + np.arange(count * places)


def _swapped(lab, start, batch: TokenBatch, count: int, places: int, mask) -> Array:
    """The last residual with some heads' queries from the sources, `[row, width]`."""
    config = lab.checkpoint.config
    of, source = _rows(count, places)
    heads = np.broadcast_to(mask, (len(of), *mask.shape))
    nothing = np.zeros((len(of), 1), bool)
    moved = route_edits.Swaps(
        of=of, source=source, to=np.zeros((len(of), 1), int),
        taken=np.zeros((len(of), 1), int), keys=nothing, values=nothing,
        queries=np.ones(len(of), bool), heads=heads, answer=batch.lengths[of] - 1,
    )  # fmt: skip
    edits = moved.edits(start, config)[-1:]
    return passes.resume_edited(
        lab.checkpoint.parameters, start, edits, of=of, config=config
    ).final


def _moved(lab, start, batch: TokenBatch, count: int, places: int, layer: int) -> Array:
    """The same with the whole residual of the last token from the sources."""
    of, source = _rows(count, places)
    edit = patch(
        Site.RESID_PRE, start.resid_pre[layer, source][None], layers=[layer],
        positions=(batch.lengths[of] - 1)[:, None],
    )  # fmt: skip
    return passes.resume_edited(
        lab.checkpoint.parameters, start, [edit], of=of,
        config=lab.checkpoint.config, first_layer=layer,
    ).final  # fmt: skip


def _describe(
    lab: "Lab",
    names: tuple[str, str],
    sets: tuple[PromptSet, PromptSet],
    draw: Draw,
    table: dict[str, np.ndarray],
    swaps: Swaps,
) -> SwapsFound:
    base, source = sets
    places, seed = source.choices, lab.config.seed
    bases = [base.prompts[i] for i in np.repeat(draw.base, places)]
    sources = [source.prompts[i] for i in draw.source.ravel()]
    questions = (
        np.repeat(base.question[draw.base], places),
        source.question[draw.source.ravel()],
    )
    chosen = table["patched_logits"].argmax(axis=-1)  # [base, place, swap]
    chosen = chosen.reshape(len(bases), -1)
    own = np.array([prompt.gold for prompt in bases])
    pairs = list(zip(bases, sources, strict=True))
    at_place = np.array([_line_at(b, s.gold_place) for b, s in pairs])
    letters = [_line_with(b, s) for b, s in pairs]
    has_letters = all(line is not None for line in letters)
    at_letter = np.array([-1 if line is None else line for line in letters])

    def followed(swap: list[int]) -> Followed:
        picked = chosen[:, swap].T.ravel()  # draws of random heads one after another
        twice = [np.tile(side, len(swap)) for side in questions]

        def follow(pointed: np.ndarray) -> metrics.FollowD:
            return metrics.follow_d(
                picked, np.tile(pointed, len(swap)), *twice, choices=base.choices,
                seed=seed,
            )  # fmt: skip

        place = follow(at_place)
        who, layer = swaps.titles[swap[0]]
        return Followed(
            who=who,
            layer=layer,
            place=place.value,
            by_place=tuple(map(tuple, place.matrix.tolist())),
            letter=follow(at_letter).value if has_letters else None,
            stays=metrics.share_two_way(
                picked == np.tile(own, len(swap)), *twice, seed=seed
            ),
            too_few=place.too_few,
        )

    groups = dict.fromkeys(swaps.titles)
    return SwapsFound(
        base=names[0],
        source=names[1],
        base_accuracy=float(
            (table["base_logits"].argmax(-1) == base.gold[draw.base]).mean()
        ),
        source_accuracy=float(
            (table["source_logits"].argmax(-1) == source.gold[draw.source]).mean()
        ),
        followed=tuple(
            followed([i for i, title in enumerate(swaps.titles) if title == group])
            for group in groups
        ),
        questions=len(np.unique(questions[0])),
    )


def _line_at(prompt: TokenisedPrompt, place: int) -> int:
    """Which choice of a prompt stands on a line."""
    [choice] = np.flatnonzero(prompt.place == place)
    return int(choice)


def _line_with(base: TokenisedPrompt, source: TokenisedPrompt) -> int | None:
    """Which choice of the base answers with the token that is right in the source."""
    found = np.flatnonzero(base.answer_ids == source.answer_ids[source.gold])
    return int(found[0]) if len(found) else None
