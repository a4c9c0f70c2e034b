"""How numbers and names are written on the page; a missing number is a dash."""

import math

from mcq_jax.metrics import Interval

MISSING = "–"
MINUS = "−"

Number = float | int | None

CLASS_MEANINGS = {
    "correct_letter": "attends to the right option's label, whichever it is, and "
    "writes that letter",
    "letter_specific": "follows some of the letters when they are right, not all",
    "single_letter": "rests on one letter whatever is right: a bias",
    "uniform": "spreads evenly over the labels",
    "negative": "writes against the right letter",
    "amplifier": "repeats what correct-letter heads wrote: silent without them",
    "content_gatherer": "attends to the right option's content; writes no letter "
    "itself",
    "late": "attends to the last tokens and still moves the answer",
    "feed_forward": "a feed-forward block: it attends to nothing",
    "other": "no rule holds",
}

SOURCE_MEANINGS = {
    "rotation": "same question, options in another order",
    "other": "another question with another right letter",
    "placebo": "another question with the same right letter",
}


def number(value: Number, digits: int = 2) -> str:
    """Returns 1234.5 as 1 234.50, and a dash for what is not there."""
    if _is_missing(value):
        return MISSING
    text = f"{value:,.{digits}f}".replace(",", "\u202f")
    return text.replace("-", "") if _is_zero(text) else text.replace("-", MINUS)


def signed(value: Number, digits: int = 2) -> str:
    """Returns the number with its sign, and plain 0.00 where it rounds to that."""
    text = number(value, digits)
    is_plain = text == MISSING or text.startswith(MINUS) or _is_zero(text)
    return text if is_plain else f"+{text}"


def percent(value: Number, digits: int = 0) -> str:
    if _is_missing(value):
        return MISSING
    return f"{number(100 * (value or 0), digits)}\u202f%"


def digits_for(*values: Number) -> int:
    """Returns how many decimals numbers this small need to be told apart."""
    sizes = [abs(value or 0) for value in values if not _is_missing(value)]
    return 2 if max(sizes, default=1.0) >= 0.2 else 3


def scientific(value: Number) -> str:
    """Returns 3.1e-06 as 3.1 × 10⁻⁶."""
    if _is_missing(value):
        return MISSING
    if not value:
        return "0"
    digits, exponent = f"{value:.1e}".split("e")
    raised = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{digits.replace('-', MINUS)} × 10{raised}"


def p_value(value: Number) -> str:
    if value is not None and value < 0.001:
        return "< 0.001"
    return number(value, 3)


def spread(estimate: Interval | None, digits: int = 2, *, as_percent: bool = False):
    """Returns the interval, as in `0.61 to 0.79`."""
    if estimate is None or math.isnan(estimate.low) or math.isnan(estimate.high):
        return MISSING
    write = percent if as_percent else number
    return f"{write(estimate.low, digits)} to {write(estimate.high, digits)}"


def duration(seconds: Number) -> str:
    if _is_missing(seconds):
        return MISSING
    seconds = float(seconds or 0)
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def count(size: int, noun: str, plural: str = "") -> str:
    """Returns `1 node`, `4 nodes`."""
    return f"{size:,} {noun if size == 1 else plural or noun + 's'}".replace(
        ",", "\u202f"
    )


def readable(name: str) -> str:
    """Returns an identifier as words: `correct_letter` as `correct letter`."""
    return name.replace("_", " ") or MISSING


def short(name: str, size: int = 10) -> str:
    """Returns a name cut to what a figure has room for."""
    return name if len(name) <= size else f"{name[: size - 1]}…"


def _is_missing(value: Number) -> bool:
    return value is None or not math.isfinite(value)


def _is_zero(text: str) -> bool:
    return not text.strip("-+0.,\u202f")
