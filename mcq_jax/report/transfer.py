"""One task's nodes and subspaces on another: recovery, overlap, subspaces."""

from collections.abc import Iterable

from mcq_jax.metrics import Interval
from mcq_jax.report import transfer_figures, words
from mcq_jax.report.cards import Card
from mcq_jax.report.claims import SUPPORTED, UNTESTABLE, Claim
from mcq_jax.report.section import Plate, Section, Titled
from mcq_jax.report.table import Cell, Row, Table
from mcq_jax.results import (
    RunResults,
    SetTransferred,
    SubspaceTransferred,
    TaskFound,
    TasksOverlap,
    TransferFindings,
    status_of,
)

_SCOPE = (
    "A set that carries over suffices at the answer position, given the prompt's own "
    "earlier tokens; what stands there may be made in another way on each task. Tasks "
    "were chosen by hand, and share words or a template."
)


def section(run: RunResults) -> Section | None:
    found = run.get(TransferFindings)
    if found is None or not found.tasks:
        return None
    least = [t.held_out_questions for t in found.tasks if t.is_studied]
    return Section(
        anchor="transfer",
        short="Transfer",
        title="One task's circuit on another",
        text=_text(found),
        figures=(
            Plate(
                name="transfer_sets",
                title="Sets of one task, tested on another",
                caption="Recovery of the net logit on each task's held-out questions "
                "when a set's clean outputs are put into the source's run (sufficiency)"
                "; left the task whose nodes they are, its own test in bold. Next in "
                "rank: as many behind the set, by the same task. Random: as many heads "
                "and blocks of the same layers, or of the nearest that are free. "
                "Small: 95 % intervals over questions.",
                sample=f"n = {words.count(min(least, default=0), 'question')} or more "
                "per task",
                draw=transfer_figures.recoveries,
            ),
        )
        if found.sets
        else (),
        tables=tuple(_tables(found)),
        cards=_cards(found),
        claims=tuple(_carries_over(found)),
        scope=(_SCOPE,),
        experiment="transfer",
    )


def _cards(found: TransferFindings) -> tuple[Card, ...]:
    """How many of the sets carry over, and what the best and the worst restore."""
    tried = [
        (one.sufficiency, one)
        for one in found.sets
        if one.kind == "other task" and one.sufficiency is not None
    ]
    if not tried or found.level is None:
        return ()
    carried = [claim.status for claim in _carries_over(found)].count(SUPPORTED)
    by_mean = sorted(tried, key=lambda t: -t[0].mean)
    least = min(recovery.questions for recovery, _ in tried)
    shown = (f"{one.source} on {one.target} {words.number(mean.mean)}"
             for mean, one in (by_mean[0], by_mean[-1]))  # fmt: skip
    level = f"recovery beyond {words.number(found.level)} and random sets"
    return (
        Card(
            label="Sets that carry over",
            value=str(carried),
            spread=f"of {words.count(len(tried), 'pair')} of tasks",
            sample=f"n = {words.count(least, 'held-out question')} or more",
            note="; ".join(dict.fromkeys((level, *shown))),
        ),
    )


def _text(found: TransferFindings) -> str:
    said = (
        "Each task is studied as the main one is; what is chosen by its fitting "
        "questions is tried on the held-out questions of the others."
    )
    closed = [task for task in found.tasks if not task.is_studied]
    for task in closed:
        said += f" {task.name} has nothing to transfer: {task.gate}"
    return said


def _carries_over(found: TransferFindings) -> Iterable[Claim]:
    """One claim for each set on each other task."""
    drawn = {
        (one.source, one.target): one.sufficiency
        for one in found.sets
        if one.kind == "random"
    }
    for one in found.sets:
        if one.kind != "other task":
            continue
        text = f"What was chosen on {one.source} suffices on {one.target}."
        control = drawn.get((one.source, one.target))
        if one.sufficiency is None or found.level is None:
            yield Claim(text=text, status=UNTESTABLE, why=one.refused or "No level.")
            continue
        beside = "" if control is None else f"; random sets {words.spread(control)}"
        yield Claim(
            text=text,
            status=status_of(one.sufficiency, found.level, None, control),
            why=f"Recovery {words.number(one.sufficiency.mean)} "
            f"({words.spread(one.sufficiency)}; "
            f"{words.count(one.sufficiency.questions, 'question')}){beside}; the level "
            f"set beforehand is {words.number(found.level)}.",
        )


def _tables(found: TransferFindings) -> Iterable[Titled]:
    yield Titled(
        table=_task_table(found.tasks),
        title="Tasks",
        note="Reached: the share of the effect that the nodes' direct effects add up "
        "to, on the fitting questions.",
    )
    if found.sets:
        yield Titled(
            table=_necessity_table(found.sets),
            title="Necessity",
            note="What a set, one by the row, takes away on the task of the column "
            "when its nodes alone run as in the source; all nodes give 1. The figure "
            "is of sufficiency.",
        )
    if found.overlaps:
        yield Titled(
            table=_overlap_table(found.overlaps),
            title="The same nodes?",
            note="Jaccard: shared nodes as a share of all nodes of either set; by "
            "chance: heads and blocks drawn anew. Ranks: Spearman's correlation of the "
            "sizes of direct effects over all nodes.",
        )
    if found.subspaces:
        yield Titled(
            table=_subspace_table(found.subspaces),
            title="Subspaces of the correct-letter heads",
            note="Class means of place, fitted on the source task; kept on the target, "
            "whose means stand in for the rest. 0: all these heads at their mean "
            "together; 1: intact. Its own: the target's means of the same heads. "
            "Carried: what these heads, named beside their queries, carry of the "
            "task's net logit.",
        )


def _task_table(tasks: tuple[TaskFound, ...]) -> Table:
    return Table(
        columns=("task", "nodes", "reached", "fitting", "held out"),
        rows=tuple(
            Row(
                name=task.name,
                cells=(
                    Cell(text=str(len(task.nodes))),
                    Cell(text=words.number(task.reached)),
                    Cell(text=str(task.questions)),
                    Cell(text=str(task.held_out_questions)),
                ),
                note=", ".join(task.nodes) if task.is_studied else task.gate,
            )
            for task in tasks
        ),
    )


def _necessity_table(sets: tuple[SetTransferred, ...]) -> Table:
    """Sets down, the tasks that they are tested on across; a task's own among them."""
    kinds = {"own": "chosen", "other task": "chosen"}
    targets = list(dict.fromkeys(one.target for one in sets))
    by_row: dict[tuple[str, str], dict[str, SetTransferred]] = {}
    for one in sets:
        row = (one.source, kinds.get(one.kind, one.kind))
        by_row.setdefault(row, {})[one.target] = one
    order = list(dict.fromkeys(one.source for one in sets))
    rows = sorted(by_row.items(), key=lambda entry: order.index(entry[0][0]))
    return Table(
        columns=("set of", "", "nodes", *targets),
        rows=tuple(
            Row(
                name=source,
                cells=(
                    Cell(text=kind),
                    Cell(text=str(next(iter(found.values())).size)),
                    *(
                        _cell(found[target].necessity if target in found else None)
                        for target in targets
                    ),
                ),
                note=" ".join(
                    dict.fromkeys(one.refused for one in found.values() if one.refused)
                ),
            )
            for (source, kind), found in rows
        ),
    )


def _overlap_table(overlaps: tuple[TasksOverlap, ...]) -> Table:
    return Table(
        columns=("tasks", "shared", "Jaccard", "by chance", "p", "ranks", "p"),
        rows=tuple(
            Row(
                name=f"{one.first} · {one.second}",
                cells=(
                    Cell(text=str(len(one.shared))),
                    Cell(text=words.number(one.jaccard)),
                    Cell(text=words.number(one.jaccard_chance)),
                    Cell(text=words.p_value(one.jaccard_p)),
                    Cell(text=words.number(one.rank_correlation)),
                    Cell(text=words.p_value(one.rank_p)),
                ),
                note=", ".join(one.shared),
            )
            for one in overlaps
        ),
    )


def _subspace_table(subspaces: tuple[SubspaceTransferred, ...]) -> Table:
    """A row for what is kept of which task on which, its rivals beside it."""
    # Rivals stand side by side; where a kind comes again, another row begins.
    groups: list[dict[str, SubspaceTransferred]] = []
    for one in subspaces:
        if not groups or one.kind in groups[-1]:
            groups.append({})
        groups[-1][one.kind] = one
    columns = ("from", "kept on", "of", "rank", "recovered", "its own", "random")
    return Table(
        columns=(*columns, "carried"),
        rows=tuple(
            _subspace_row(found.get("other task", next(iter(found.values()))), found)
            for found in groups
        ),
    )


def _subspace_row(
    one: SubspaceTransferred, beside: dict[str, SubspaceTransferred]
) -> Row:
    shown = (beside.get(kind) for kind in ("other task", "own", "random"))
    return Row(
        name=one.source,
        cells=(
            Cell(text=one.target),
            Cell(text=one.parts),
            Cell(text=str(one.rank)),
            *(_cell(None if s is None else s.recovered) for s in shown),
            _cell(one.carried),
        ),
        note=_told(one),
    )


def _told(one: SubspaceTransferred) -> str:
    heads = ", ".join(one.heads) if one.parts == "queries" else ""
    return one.refused or heads


def _cell(found: Interval | None) -> Cell:
    if found is None:
        return Cell(text=words.MISSING)
    return Cell(text=words.number(found.mean), below=words.spread(found))
