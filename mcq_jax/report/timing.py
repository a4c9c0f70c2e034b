"""The run: where the time went, and what each experiment took of the machine."""

from mcq_jax.report import run_figures, words
from mcq_jax.report.section import Plate, Section, Titled
from mcq_jax.report.table import Cell, Row, Table
from mcq_jax.results import RunResults, Spent


def section(run: RunResults) -> Section | None:
    if not run.seconds:
        return None
    return Section(
        anchor="run", short="The run", title="The run",
        figures=(_timing(run),), tables=_spent(run),
    )  # fmt: skip


def _timing(run: RunResults) -> Plate:
    whole = words.duration(sum(run.seconds.values()))
    return Plate(
        name="timing",
        title="Where the time went",
        caption=f"{whole} in all on {run.about.device}.",
        sample=f"n = {words.count(len(run.seconds), 'stage')}",
        draw=run_figures.timing,
    )


def _spent(run: RunResults) -> tuple[Titled, ...]:
    spent = {name: record.spent for name, record in run.records.items()}
    rows = tuple(_row(name, one) for name, one in spent.items() if one is not None)
    if not rows:
        return ()
    columns = (
        "experiment", "wall", "CPU", "programs", "compiling", "memory", "TFLOP",
        "as full passes",
    )  # fmt: skip
    return (
        Titled(
            table=Table(columns=columns, rows=rows),
            title="What each experiment took",
            note="CPU: of all threads. Programs: compiled in this run, and not read "
            "from disk; compiling counts both. Memory: the most in use up to the "
            "experiment's end. TFLOP: of layers and logits, by formula. As full "
            "passes: how many times that, had every prompt and every patched run been "
            "a forward pass of its own. Tables that an earlier run had finished cost "
            "nothing.",
        ),
    )


def _times(spent: Spent) -> str:
    if not spent.flops or spent.full_pass_flops is None:
        return words.MISSING
    return f"{spent.full_pass_flops / spent.flops:.1f} times"


def _row(name: str, spent: Spent) -> Row:
    memory = spent.peak_bytes
    texts = (
        words.duration(spent.wall_seconds),
        words.duration(spent.cpu_seconds),
        f"{spent.programs}",
        words.duration(spent.compile_seconds),
        words.MISSING if memory is None else f"{memory / 1e9:.1f} GB",
        words.MISSING if spent.flops is None else f"{spent.flops / 1e12:.3g}",
        _times(spent),
    )
    return Row(name=words.readable(name), cells=tuple(Cell(text=t) for t in texts))
