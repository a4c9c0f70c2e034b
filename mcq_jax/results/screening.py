"""What screening off says of a set and its rivals, the nodes next in rank.

Each is patched while the other is kept: held at what it writes in the run that is
patched. What acts through the other then does nothing; what has a way of its own does
as before.

    what the rivals keep    what the set keeps    then
    less than half          more than half        the rivals act through the set
    more than half          less than half        the set acts through its rivals
    more than half          more than half        each acts by itself
    less than half          less than half        neither acts without the other

A share is less or more than half if its whole interval is.
"""

import enum

from mcq_jax.metrics import Interval
from mcq_jax.results.findings import ScreeningFound

# The share of a set's effect that decides whether it is kept or lost.
HALF = 0.5
RULE = (
    "Screening off: each of the two sets is patched while the other is held at what it "
    "writes in the run that is patched. A set keeps its effect if the whole interval "
    "of the share that is left lies above one half, and loses it if it lies below. "
    "Rivals that lose theirs while the set keeps its own act through the set; where "
    "both keep theirs, the set is not special."
)


class Screening(enum.Enum):
    """What it says, as the end of a sentence."""

    SET_CARRIES = "the rivals act through the set"
    RIVALS_CARRY = "the set acts through its rivals"
    APART = "each acts by itself"
    TOGETHER = "neither acts without the other"
    UNDECIDED = "the intervals do not decide who acts through whom"


def judge(found: ScreeningFound) -> Screening:
    """Returns what screening off says of sufficiency, by the rule of this module."""
    rivals_keep = _is_kept(found.next_best.sufficiency_left)
    set_keeps = _is_kept(found.selected.sufficiency_left)
    if rivals_keep is None or set_keeps is None:
        return Screening.UNDECIDED
    if rivals_keep:
        return Screening.APART if set_keeps else Screening.RIVALS_CARRY
    return Screening.SET_CARRIES if set_keeps else Screening.TOGETHER


def _is_kept(left: Interval | None) -> bool | None:
    """None: the interval holds one half, or there was no effect to keep."""
    if left is None or left.low <= HALF <= left.high:
        return None
    return left.low > HALF
