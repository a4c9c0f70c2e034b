"""Findings about where an answer is decided, where it is bound, and where used."""

import dataclasses

from mcq_jax.metrics import Interval


@dataclasses.dataclass(frozen=True, kw_only=True)
class UsedAt:
    """What some tokens hold in front of a layer, taken from a source prompt."""

    # Labels, option ends, line ends, or the last token; all lines together.
    tokens: str
    layer: int
    # Follow-D of the source's place, or the share of choices on its letter.
    follows: Interval
    # How often the base keeps its own answer.
    stays: Interval


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecodedAt:
    """What a linear probe reads off some tokens in front of a layer."""

    tokens: str
    layer: int
    # correct: of one line, by one probe for all, which line it finds right most; place
    # and letter of the right option: of the tokens of all lines together.
    what: str
    accuracy: Interval
    # Of control tasks: labels drawn for each place and letter; the difference.
    control: Interval
    selectivity: Interval


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecideThenBindFindings:
    """Where are correctness, place and letter decodable, and where are they used?"""

    # Place across label sets, by follow-D; letter within a place, by shares.
    place: tuple[UsedAt, ...]
    letter: tuple[UsedAt, ...]
    decoded: tuple[DecodedAt, ...]
    # How the prompts were put whose places, or letters, were interchanged.
    place_form: str
    letter_form: str
    choices: int
    questions: int
    # Probes were fitted on others; these they were read on.
    probed_questions: int
    too_few: bool
