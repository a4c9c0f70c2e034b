"""What was found beside what was planted: the tool's own examination."""

from mcq_jax.report import palette, words
from mcq_jax.report.section import Section
from mcq_jax.report.table import Cell, Row, Table
from mcq_jax.results import PlantedTruthFindings, RunResults

AGREES, DIFFERS = "agrees", "differs"


def section(run: RunResults) -> Section | None:
    found = run.get(PlantedTruthFindings)
    if found is None:
        return None
    by_role, by_class = roles(found), classes(found)
    return Section(
        anchor="planted",
        short="Planted",
        title="Found beside planted",
        template="planted_truth.html",
        values={
            "found": found,
            "roles": by_role,
            "classes": by_class,
            "roles_tally": tally(by_role),
            "classes_tally": tally(by_class),
        },
    )


def roles(found: PlantedTruthFindings) -> Table:
    """Returns one row per role: the planted names, the found ones, the difference."""
    names = dict.fromkeys((*found.planted, *found.found))
    return Table(
        columns=("role", "planted", "found", ""),
        rows=tuple(
            _role_row(role, found.planted.get(role, ()), found.found.get(role, ()))
            for role in names
        ),
    )


def _role_row(role: str, planted: tuple[str, ...], found: tuple[str, ...]) -> Row:
    missed = sorted({*planted} - {*found})
    added = sorted({*found} - {*planted})
    parts = [f"missed {', '.join(missed)}"] if missed else []
    parts += [f"not planted: {', '.join(added)}"] if added else []
    return Row(
        name=words.readable(role),
        cells=(
            Cell(text=", ".join(planted) or words.MISSING),
            Cell(text=", ".join(found) or words.MISSING),
            Cell(text="; ".join(parts) or f"all {len(planted)}"),
        ),
        mark=DIFFERS if parts else AGREES,
    )


def classes(found: PlantedTruthFindings) -> Table:
    """Returns one row per head with a planted or a found class."""
    names = dict.fromkeys((*found.classes_planted, *found.classes_found))
    return Table(
        columns=("head", "planted class", "found class"),
        rows=tuple(
            _class_row(name, found.classes_planted, found.classes_found)
            for name in names
        ),
    )


def _class_row(name: str, planted: dict[str, str], found: dict[str, str]) -> Row:
    pair = planted.get(name, ""), found.get(name, "")
    return Row(
        name=name,
        cells=tuple(Cell(text=words.readable(each)) for each in pair),
        mark=AGREES if pair[0] == pair[1] else DIFFERS,
        role=palette.class_role(pair[1]),
    )


def tally(table: Table) -> str:
    """Returns how many rows agree, as in `14 of 14`."""
    right = sum(row.mark == AGREES for row in table.rows)
    return f"{right} of {len(table.rows)}"
