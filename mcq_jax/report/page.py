"""`write_report`: findings in, figures and one self-contained page out.

The page needs no network, no script and no other file, and says so in a
content-security policy. Every text in it is escaped by the template engine; only our
own drawings pass as they are, and there matplotlib escapes the names.
"""

import pathlib
from collections.abc import Sequence
from typing import Any

import jinja2
import markupsafe

from mcq_jax.report import palette, words
from mcq_jax.results import KINDS, RunResults, remove_leftovers, verdict, write_whole


def write_report(
    run: RunResults, folder: pathlib.Path, *, extra: Sequence[Any] = ()
) -> pathlib.Path:
    """Writes `figures/*.png` and `report.html` into the folder; returns the page.

    Args:
        extra: functions from `RunResults` to a `Section`, of experiments from outside.
    """
    section, sections = _drawing_rooms()
    shown = sections.sections(run, extra)
    remove_leftovers(folder)
    drawings = {
        plate.name: section.draw(plate, run, folder / "figures")
        for plate in _plates(shown)
    }
    for one in shown:
        for file in one.attached:
            write_whole(folder / file.name, file.text.encode())
    page = folder / "report.html"
    write_whole(page, _render(run, shown, drawings).encode())
    return page


def _drawing_rooms() -> tuple[Any, Any]:
    """Imports what draws, which needs the `report` extra, only now."""
    try:
        from mcq_jax.report import section, sections
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        raise ModuleNotFoundError(
            "A report was asked for, and its figures need matplotlib, which is not "
            "installed; run `pip install 'mcq-jax[report]'`.",
            name=error.name,
        ) from error
    return section, sections


def _render(run: RunResults, shown: Sequence[Any], drawings: dict) -> str:
    """Fills the template."""
    return (
        environment()
        .get_template("page.html")
        .render(
            run=run,
            verdict=verdict(run),
            sections=shown,
            drawings=drawings,
            overview=[plate.name for plate in _plates(shown) if plate.in_overview],
            cards=[card for section in shown for card in section.cards],
            claims=[claim for section in shown for claim in section.claims],
            scope=[text for section in shown for text in section.scope],
            not_run=[words.readable(name) for name in KINDS if name not in run.records],
            words=words,
            **colours(),
        )
    )


def environment() -> jinja2.Environment:
    """Returns what fills templates; every text in them is escaped."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("mcq_jax.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def colours() -> dict[str, markupsafe.Markup]:
    """Returns the declarations of all colours, in light and in dark."""
    return {
        name: markupsafe.Markup(palette.declarations(dark=is_dark))
        for name, is_dark in (("light", False), ("dark", True))
    }


def _plates(shown: Sequence[Any]) -> list[Any]:
    return [plate for section in shown for plate in section.figures]
