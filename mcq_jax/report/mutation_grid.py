"""How far a few dimensions carry when prompts change: mutation × edit of the heads."""

import math

from mcq_jax.metrics import Gate, Interval
from mcq_jax.report import grid_figure, words
from mcq_jax.report.claims import UNTESTABLE, Claim, against
from mcq_jax.report.section import Plate, Section, Titled
from mcq_jax.report.table import Cell, Row, Table
from mcq_jax.results import (
    ContrastFound,
    GridCell,
    GridRow,
    MutationGridFindings,
    RunResults,
)

_SCOPE = (
    "The mutation grid speaks of the share of the net logit that goes through the "
    "correct-letter heads, which stands in every row, and of no more.",
    "Four labels have at most three dimensions of class means: that so few do is no "
    "finding by itself. What counts is whether those found without a mutation do under "
    "it, beside classes that were dealt out at random.",
)
_NOTE = (
    "Recovered: between all heads at their mean (rank 0) and intact, under the same "
    "mutation, in net logits. Unmutated: queries and label keys keep the class means "
    "that were found without mutation; own: under it; place and letter part: what "
    "permuted labels show of the one with the other held. Resampled: the heads' output "
    "in another order of the same question, which writes another letter. Dealt classes "
    "and random directions are controls of as many dimensions."
)


def section(run: RunResults) -> Section | None:
    found = run.get(MutationGridFindings)
    if found is None:
        return None
    has_rows = any(row.cells for row in found.rows)
    sample = words.count(max((r.questions for r in found.rows), default=0), "question")
    return Section(
        anchor="mutations",
        short="Mutations",
        title="How far the heads' dimensions carry when prompts change",
        text=_text(found),
        figures=(
            Plate(
                name="mutation_grid",
                title="Mutation × edit of the correct-letter heads",
                caption=f"{_NOTE} In grey rows the heads carry nothing, so that there "
                "is nothing to recover. D by the right option's place and letter: bold "
                "where it lies above its null.",
                sample=f"n = {sample} a row, none of them fitted on",
                draw=grid_figure.grid,
            ),
        )
        if has_rows
        else (),
        tables=_tables(found) if has_rows else (),
        claims=tuple(claim(one) for one in found.contrasts),
        scope=_SCOPE,
        experiment="mutation_grid",
    )


def _text(found: MutationGridFindings) -> str:
    if not found.rows:
        return "No correct-letter heads were named, so there is nothing to edit."
    said = (
        f"{words.count(len(found.letter_heads), 'correct-letter head')} "
        f"({', '.join(found.letter_heads)}); subspaces fitted on "
        f"{words.count(found.fitting_questions, 'question')} and read on others. "
    )
    if not found.parts_from:
        said += "No prompts of the card tell place from letter: name some, permuted. "
    elif found.query_overlap is not None:
        said += (
            "Of the letter's directions "
            f"{words.percent(found.query_overlap)} lie among the place's in queries, "
            f"{words.percent(found.key_overlap)} in keys. "
        )
    count = len(found.contrasts)
    return said + (
        f"{words.count(count, 'contrast')} declared beforehand; all else describes."
    )


def claim(found: ContrastFound) -> Claim:
    """Judges a contrast by its whole interval against what the card declared."""
    mutations = ", ".join(found.prompts)
    share = words.percent(found.by)
    carried = found.of == "carried"
    what = "what the heads carry" if carried else "what unmutated dimensions recover"
    limit = f"by more than {share}" if found.expects == "falls" else f"within {share}"
    text = f"{found.name} ({mutations}): {what} {found.expects} ({limit})"
    if found.difference is None:
        return Claim(text=text, status=UNTESTABLE, why=found.why)
    difference = found.difference
    # "Falls" says that the difference lies below the level: its negative above.
    judged = difference
    if found.expects == "falls":
        judged = Interval(
            mean=-difference.mean, low=-difference.high, high=-difference.low,
            questions=difference.questions,
        )  # fmt: skip
    level = found.by if found.expects == "falls" else -found.by
    sample = words.count(difference.questions, "question")
    return Claim(
        text=text,
        status=against(judged, level),
        why=f"difference from the unmutated prompts {words.signed(difference.mean)} "
        f"({words.spread(difference)}), {sample}",
    )


def _tables(found: MutationGridFindings) -> tuple[Titled, ...]:
    return (
        Titled(
            table=_behaviour(found.rows),
            title="What the model does under each mutation",
            note="D of the intact model by the right option's place and by its letter, "
            "its null below. Carried: net logit intact less that at rank 0, and its "
            "share of the net logit.",
        ),
        *(
            Titled(
                table=_cells(row),
                title=f"{row.prompts}: {row.changes}",
                note=row.refused,
            )
            for row in found.rows
            if row.cells
        ),
    )


def _behaviour(rows: tuple[GridRow, ...]) -> Table:
    return Table(
        columns=(
            "prompts", "n", "accuracy", "net logit", "rank 0", "resampled",
            "carried", "share", "D by place", "D by letter",
        ),
        rows=tuple(_behaviour_row(row) for row in rows),
    )  # fmt: skip


def _behaviour_row(row: GridRow) -> Row:
    by_variant = {cell.variant: cell for cell in row.cells}
    intact = by_variant.get("intact")
    nets = (by_variant.get(name) for name in ("intact", "rank 0", "resampled"))
    return Row(
        name=row.prompts,
        cells=(
            Cell(text=str(row.questions)),
            _number(None if intact is None else intact.accuracy, as_percent=True),
            *(_number(None if cell is None else cell.net) for cell in nets),
            _number(row.carried),
            _number(row.share),
            _gate(row.by_place),
            _gate(row.by_letter),
        ),
        note=f"{row.changes} {row.refused}".strip(),
    )


def _cells(row: GridRow) -> Table:
    return Table(
        columns=("heads", "recovered", "net logit", "loss", "accuracy", "dimensions"),
        rows=tuple(_cell(cell) for cell in row.cells),
    )


def _cell(cell: GridCell) -> Row:
    ranks = [r for r in (cell.query_rank, cell.key_rank) if r is not None]
    return Row(
        name=cell.variant,
        cells=(
            _number(cell.recovered),
            _number(cell.net),
            _number(cell.loss),
            _number(cell.accuracy, as_percent=True),
            Cell(text=" and ".join(words.number(r, 1) for r in ranks) or words.MISSING),
        ),
    )


def _number(found: Interval | None, *, as_percent: bool = False) -> Cell:
    if found is None:
        return Cell(text=words.MISSING)
    digits = 0 if as_percent else 2
    write = words.percent if as_percent else words.number
    return Cell(
        text=write(found.mean, digits),
        below=words.spread(found, digits, as_percent=as_percent),
    )


def _gate(found: Gate | None) -> Cell:
    if found is None or not math.isfinite(found.selectivity):
        return Cell(text=words.MISSING)
    null = f"null {words.number(found.null_low)} to {words.number(found.null_high)}"
    return Cell(text=words.number(found.selectivity), below=null)
