"""Cases by number: which model and prompts, what is changed; and how it came out.

A block of cases shares a model, and within it a structure shares compiled programs. Any
case can be had again by itself: seed and number draw the same.
"""

import dataclasses
import enum
import pathlib
import tempfile
import traceback
from collections.abc import Iterator, Sequence

import jax
import numpy as np

from mcq_jax import model, passes
from mcq_jax.interventions import Site
from tests.fuzz import (
    drawing,
    generation_cases,
    gradient_cases,
    models,
    oracle,
    ours,
    path_cases,
    sweep_cases,
)
from tests.fuzz.comparing import TOLERANCE, Pairs, compare
from tests.fuzz.drawing import Random, Space
from tests.fuzz.reference import Watched
from tests.fuzz.weight_cases import of_weights, to_bfloat16, to_int8

# Of each of a model's structures so many cases with numbers of their own.
KINDS = (
    "forward", "forward", "forward", "resumed", "sweep", "composed", "joint", "joint",
    "paths", "generation", "gradient", "int8", "bfloat16",
)  # fmt: skip
DRAWS = 12
BLOCK = len(KINDS) * DRAWS


class Outcome(enum.Enum):
    """How a case came out."""

    EQUAL = "equal"
    REFUSED = "refused"
    WRONG = "WRONG"
    CRASHED = "CRASHED"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """What one comparison came to."""

    number: int
    family: str
    kind: str
    outcome: Outcome
    # The largest error and where; the class of a refusal; a traceback.
    detail: str
    # What was asked, for people.
    asked: str


# The classes of refusal, by words of their sentences.
REFUSALS = {
    "two patches meet": "two patches of",
    "source and prompt hold the same": "hold the same wherever the plan patches",
    "paths where halves are parallel or normed behind": "path patching in a model with",
}


def run_cases(seed: int, numbers: Sequence[int]) -> Iterator[Case]:
    """Runs cases in order; a block's model is made when its first case is."""
    for block in sorted({number // BLOCK for number in numbers}):
        wanted = [n for n in numbers if n // BLOCK == block]
        family = models.FAMILIES[block % len(models.FAMILIES)]
        with tempfile.TemporaryDirectory() as path:
            folder = pathlib.Path(path)
            try:
                pair = models.draw(family, np.random.default_rng([seed, block]), folder)
            except Exception:
                for number in wanted:
                    yield _failed(number, family, "load", "the model")
                continue
            watched = Watched(family, pair.reference)
            for number in wanted:
                yield _run_case(seed, number, pair, watched, folder)
        jax.clear_caches()  # another model's programs are of no use to the next


def kind_of(number: int) -> str:
    return KINDS[number % BLOCK // DRAWS]


def _run_case(seed: int, number: int, pair, watched: Watched, folder) -> Case:
    structure, draw = divmod(number % BLOCK, DRAWS)
    kind = kind_of(number)
    shape = np.random.default_rng([seed, number // BLOCK, structure])
    data = np.random.default_rng([seed, number // BLOCK, structure, draw])
    asked = str(pair.options)
    try:
        asked, pairs = _RUN[kind](pair, watched, shape, data, folder)
    except Exception:
        return _failed(number, pair.family, kind, asked)
    worst, where = compare(pairs, watched, _tolerance(kind, pair.family))
    outcome = Outcome.EQUAL if worst is None else Outcome.WRONG
    return Case(
        number=number, family=pair.family, kind=kind, outcome=outcome, detail=where,
        asked=f"{pair.options}\n{asked}",
    )  # fmt: skip


def _failed(number: int, family: str, kind: str, asked: str) -> Case:
    text = traceback.format_exc()
    last = text.strip().splitlines()[-1]
    for name, words in REFUSALS.items():
        if last.startswith("ValueError") and words in last:
            outcome, detail = Outcome.REFUSED, name
            break
    else:
        outcome, detail = Outcome.CRASHED, text
    return Case(
        number=number, family=family, kind=kind, outcome=outcome, detail=detail,
        asked=asked,
    )  # fmt: skip


def _tokens(pair, lengths: np.ndarray, positions: int, data: Random) -> np.ndarray:
    """Right-padded, with any token for padding."""
    return data.integers(pair.ours.config.vocabulary, size=(len(lengths), positions))


def _composed(pair, watched: Watched, shape: Random, data: Random, folder):
    """A whole pass under several edits of one site, which apply in order."""
    return _forward(pair, watched, shape, data, folder, at_one_site=True)


def _forward(
    pair, watched: Watched, shape: Random, data: Random, folder, *, at_one_site=False
):
    """A whole pass under edits, with captures."""
    rows, positions = drawing.pick(shape, (3, 9), (2, 14), (3, 9), (2, 70))
    lengths = data.integers(3, positions + 1, size=rows)
    tokens = _tokens(pair, lengths, positions, data)
    space = Space(pair.ours.config, lengths, positions, 0 * lengths)
    changes = drawing.draw_changes(space, shape, data, at_one_site=at_one_site)
    looks = drawing.draw_looks(space, shape, data)
    asked = f"lengths {lengths.tolist()} of {positions}\n{changes}\n{looks}"
    clean = ours.clean_captures(pair.ours, tokens, changes)
    edits = [ours.edit_of(change, clean) for change in changes]
    if drawing.pick(shape, True, False, False):
        edits = ours.through_a_file(edits, folder)
    found = model.forward(
        pair.ours.parameters, tokens, edits, config=pair.ours.config,
        capture=[ours.capture_of(look) for look in looks],
    )  # fmt: skip

    def pairs() -> Pairs:
        expected = oracle.run(watched, tokens, lengths, changes, looks)
        logits = np.array(expected.logits)
        for row, length in enumerate(lengths):
            logits[row, length:] = np.nan  # behind the end nothing is promised
        yield "logits", found.logits, logits
        for site, values in expected.sites.items():
            seen = found.activations[Site.parse(site)[0]]
            yield site, seen, _without_padding(site, values, lengths, looks)

    return asked, pairs


def _wide(pair, watched: Watched, shape: Random, data: Random, folder):
    """The same without a prefix, which has the weights' type and not float32."""
    return _resumed(pair, watched, shape, data, folder, prefixes=(0,))


def _resumed(
    pair, watched: Watched, shape: Random, data: Random, folder, *, prefixes=(0, 0, 4)
):
    """Rows resumed from a pass over prompts, under edits of their last tokens."""
    positions, suffix = 11, drawing.pick(shape, 1, 3, 5)
    common = drawing.pick(shape, *prefixes)  # what comes before all, run once
    own = data.integers(suffix, positions + 1, size=3)
    tokens = _tokens(pair, own, common + positions, data)
    tokens[:, :common] = tokens[0, :common]
    of = data.integers(len(tokens), size=drawing.pick(shape, 2, 4))
    lengths = common + own[of]
    firsts = lengths - suffix
    space = Space(pair.ours.config, lengths, common + positions, firsts, is_whole=False)
    changes = drawing.draw_changes(space, shape, data)
    looks = drawing.draw_looks(space, shape, data)
    named = [thing.layers for thing in (*changes, *looks)]
    first_layer = min((min(layers) for layers in named if layers), default=0)
    if any(layers is None for layers in named):
        first_layer = 0
    asked = f"{common} and {own.tolist()}, of {of.tolist()}\n{changes}\n{looks}"
    config, parameters, prefix = pair.ours.config, pair.ours.parameters, None
    if common:
        prefix = passes.run_prefix(parameters, tokens[0, :common], config=config)
    start = passes.prefill(
        parameters, tokens[:, common:], own, config=config, suffix=suffix,
        prefix=prefix, activations=np.dtype("float32"),
    )  # fmt: skip
    found = passes.resume_edited(
        parameters, start, [ours.edit_of(c, {}) for c in changes], of=of,
        config=config, first_layer=first_layer,
        capture=[ours.capture_of(look) for look in looks],
    )  # fmt: skip

    def pairs() -> Pairs:
        last = drawing.Look(site="final_resid", positions=lengths[:, None] - 1)
        rows = tokens[of]
        expected = oracle.run(
            watched, rows, lengths, changes, [*looks, last], without_padding=True
        )
        yield "final", found.final, expected.sites.pop("final_resid")[:, 0]
        for site, values in expected.sites.items():
            seen = found.activations[Site.parse(site)[0]]
            yield site, seen, _without_padding(site, values, lengths, looks)

    return asked, pairs


def _without_padding(site, values, lengths, looks):
    """NaN at queries behind the end of a row, where the oracle ran them as well."""
    (look,) = (look for look in looks if look.site == site)
    if look.positions is not None:
        return values
    return oracle.blank_padding(site, np.array(values, float), lengths)


def _tolerance(kind: str, family: str) -> float:
    # Differences of a reference whose norms stay in float32 say no more of a slope.
    if kind == "gradient":
        return 1e-2
    # Scaled embeddings, and sums with positions, have the weights' type.
    if kind == "bfloat16" and family in ("gemma", "gemma2", "gemma3", "gpt2"):
        return 3e-2
    return TOLERANCE


_RUN = {
    "forward": _forward,
    "resumed": _resumed,
    "sweep": sweep_cases.run,
    "composed": _composed,
    "joint": sweep_cases.run_joint,
    "paths": path_cases.run,
    "generation": generation_cases.run,
    "gradient": gradient_cases.run,
    "int8": of_weights(_forward, to_int8, weights="int8"),
    "bfloat16": of_weights(_wide, to_bfloat16, dtype="bfloat16"),
}
