"""`Table`: findings as rows of text, ready for the page; nothing here is HTML."""

import dataclasses
import math

from mcq_jax.metrics import Interval
from mcq_jax.report import palette, words


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """A number with its interval below it, and a bar behind."""

    text: str
    below: str = ""
    # Of the column's largest, -1 to 1; the bar grows from the middle.
    bar: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    name: str
    cells: tuple[Cell, ...]
    note: str = ""
    # Marks the row, as selected or as wrong.
    mark: str = ""
    # The role whose colour stands before the name.
    role: str = ""

    def __post_init__(self):
        if self.role and self.role not in palette.ROLES:
            raise ValueError(
                f"the row {self.name!r} has the role {self.role!r}, which is no colour "
                f"of the page; the roles are {', '.join(palette.ROLES)}."
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def effect_cell(found: Interval | None, end: float = 0.0, *, digits: int = 2) -> Cell:
    """Returns an effect with its interval, and a bar as a share of `end`."""
    if found is None:
        return Cell(text=words.MISSING)
    has_bar = end > 0 and math.isfinite(found.mean)
    return Cell(
        text=words.signed(found.mean, digits),
        below=words.spread(found, digits),
        bar=round(found.mean / end, 3) if has_bar else None,
    )
