"""Findings that have no section of their own, as tables of their values."""

from collections.abc import Mapping
from typing import Any

from mcq_jax import json_values
from mcq_jax.report import words
from mcq_jax.report.section import Section, Titled, as_name
from mcq_jax.report.table import Cell, Row, Table
from mcq_jax.results import Record

# Rows of a table that are shown; the file of findings has all.
_MOST = 50


def section(name: str, record: Record) -> Section:
    """Returns a section for any findings: numbers first, then a table per list."""
    values: Mapping[str, Any] = json_values.to_json(record.values)
    single = {k: v for k, v in values.items() if not isinstance(v, Mapping | list)}
    rows = tuple(
        Row(name=words.readable(key), cells=(_cell(value),))
        for key, value in single.items()
    )
    tables = [Titled(table=Table(columns=("", "value"), rows=rows))] if rows else []
    tables += [
        Titled(table=_table(value), title=words.readable(key), note=_cut(value))
        for key, value in values.items()
        if key not in single and value
    ]
    return Section(
        anchor=f"experiment-{as_name(name)}",
        short=words.readable(name).capitalize(),
        title=words.readable(name).capitalize(),
        tables=tuple(tables),
        experiment=name,
    )


def _table(value: Any) -> Table:
    """A mapping or a list as rows; records as columns by their fields."""
    items = value.items() if isinstance(value, Mapping) else enumerate(value)
    items = [(str(key), item) for key, item in items][:_MOST]
    fields = [item for _, item in items if isinstance(item, Mapping)]
    if len(fields) == len(items) and fields:
        names = list(dict.fromkeys(name for item in fields for name in item))
        return Table(
            columns=("", *map(words.readable, names)),
            rows=tuple(
                Row(name=key, cells=tuple(_cell(item.get(name, "")) for name in names))
                for key, item in items
            ),
        )
    return Table(
        columns=("", "value"),
        rows=tuple(Row(name=key, cells=(_cell(item),)) for key, item in items),
    )


def _cut(value: Any) -> str:
    over = len(value) - _MOST
    return f"{over} more are in the file of findings." if over > 0 else ""


def _cell(value: Any) -> Cell:
    if isinstance(value, Mapping) and {"mean", "low", "high"} <= value.keys():
        spread = f"{words.number(value['low'])} to {words.number(value['high'])}"
        return Cell(text=words.number(value["mean"]), below=spread)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return Cell(text=words.short(str(value), 60))
    return Cell(text=str(value) if isinstance(value, int) else words.number(value, 4))
