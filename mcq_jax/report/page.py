"""`write_report`: findings in, figures and one self-contained page out.

The page needs no network, no script and no other file. Every text in it is escaped by
the template engine; only our own drawings pass as they are, and there matplotlib
escapes the names.
"""

import os
import pathlib

import jinja2
import markupsafe

from mcq_jax.report import (
    claims,
    key_figures,
    palette,
    picks,
    planted_tables,
    tables,
    words,
)
from mcq_jax.results import Findings

_SCOPE = (
    "Everything here is about this model, this template and these questions.",
    "Effects are measured at the answer position, given the source prompt's own "
    "earlier positions. What is computed at earlier tokens, and only read here, is "
    "not among these nodes.",
    "The set was chosen by direct effect, so that its direct paths carry the stated "
    "share is so by construction. Evidence is the joint test on held-out questions.",
    "A class says where a head looks and what it writes, not which feature of the "
    "prompt it follows.",
)
_CLOSED_SCOPE = (
    "Everything here is about this model, this template and these questions.",
    "A closed gate does not say that the model lacks the knowledge: it says that, "
    "asked in this way, being right does not move a letter's logit.",
    "No node is named here: a ranking of nodes exists for noise, too.",
)


def write_report(findings: Findings, folder: pathlib.Path) -> pathlib.Path:
    """Writes `figures/*.png` and `report.html` into the folder; returns the page."""
    plates = _plates()
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    drawings = {
        plate.name: plates.draw(plate, findings, folder / "figures")
        for plate in plates.plates(findings)
    }
    return _write_whole(folder / "report.html", _render(findings, drawings))


def _plates():
    """Imports the figures, which need the `report` extra, only now."""
    try:
        from mcq_jax.report import plates
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        raise ModuleNotFoundError(
            "A report was asked for, and its figures need matplotlib, which is not "
            "installed; run `pip install 'mcq-jax[report]'`.",
            name=error.name,
        ) from error
    return plates


def _render(findings: Findings, drawings: dict) -> str:
    """Fills the template."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mcq_jax.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(
        findings=findings,
        drawings=drawings,
        has_nodes=picks.has_nodes(findings),
        key_figures=key_figures.key_figures(findings),
        claims=claims.claims(findings),
        scope=_SCOPE if picks.has_nodes(findings) else _CLOSED_SCOPE,
        tables=tables,
        planted_tables=planted_tables,
        words=words,
        head_roles=_head_roles(findings),
        shades=[f"--share-{step}" for step in range(palette.STEPS + 1)],
        shown_nodes=len(picks.top_nodes(findings)),
        light=markupsafe.Markup(palette.declarations(dark=False)),
        dark=markupsafe.Markup(palette.declarations(dark=True)),
    )


def _head_roles(findings: Findings) -> list[tuple[str, str, str]]:
    """Returns the classes that occur: name, role of its colour, meaning."""
    present = {head.head_class for head in findings.heads}
    return [
        (name, palette.class_role(name), meaning)
        for name, meaning in words.CLASS_MEANINGS.items()
        if name in present
    ]


def _write_whole(file: pathlib.Path, text: str) -> pathlib.Path:
    """Writes all of the file or nothing of it."""
    temporary = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, file)
    return file
