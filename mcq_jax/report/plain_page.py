"""`write_plain_page`: text, figures and tables that belong to no single run."""

import pathlib
from collections.abc import Sequence

from matplotlib.figure import Figure

from mcq_jax.report import page
from mcq_jax.report.section import Plate, Titled, drawing_of
from mcq_jax.results import write_whole


def write_plain_page(
    file: pathlib.Path,
    *,
    title: str,
    eyebrow: str,
    text: Sequence[str] = (),
    figures: Sequence[tuple[Plate, Figure]] = (),
    tables: Sequence[Titled] = (),
) -> pathlib.Path:
    """Writes one self-contained page, inert as a report is; returns its path.

    Args:
        eyebrow: what kind of page it is, above the title.
        text: paragraphs above figures and tables.
        figures: each with what stands around it.
    """
    drawings = {}
    for plate, figure in figures:
        figure.canvas.draw()
        drawings[plate.name] = drawing_of(plate, figure)
    whole = page.environment().get_template("plain.html").render(
        title=title, eyebrow=eyebrow, text=text, tables=tables, drawings=drawings,
        **page.colours(),
    )  # fmt: skip
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, whole.encode())
    return file
