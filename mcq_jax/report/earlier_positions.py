"""What nodes do before the answer position."""

from mcq_jax.report import words
from mcq_jax.report.section import Section, Titled
from mcq_jax.report.table import Cell, Row, Table
from mcq_jax.results import EarlierPositionsFindings, RunResults

_MOST = 20
# Of the largest change: what is less is rounding.
_ROUNDING = 1e-4
_SCOPE = (
    "What nodes do at earlier tokens is the largest change of an answer logit over all "
    "of these tokens at once: it says that a node matters there, not where."
)


def section(run: RunResults) -> Section | None:
    found = run.get(EarlierPositionsFindings)
    if found is None or run.gate is None or not run.gate.open:
        return None
    pairs = zip(found.nodes, found.largest_change, strict=True)
    ranked = sorted(pairs, key=lambda pair: -pair[1])
    least = _ROUNDING * max(found.largest_change, default=0.0)
    matter = [(name, change) for name, change in ranked if change > least]
    shown = Titled(table=_table(matter[:_MOST]), note=_cut(len(matter) - _MOST))
    return Section(
        anchor="earlier_positions",
        short="Earlier tokens",
        title="What nodes do before the last token",
        text=(
            "Every node patched at all tokens before the answer position, from another "
            "order of the options and with zeros: the largest change of an answer "
            f"logit, over {words.count(found.questions, 'question')}. "
            f"{words.count(len(matter), 'node')} of {len(found.nodes)} change any."
        ),
        tables=(shown,) if matter else (),
        scope=(_SCOPE,),
        experiment="earlier_positions",
    )


def _table(matter: list[tuple[str, float]]) -> Table:
    """Returns nodes with bars, the largest first."""
    return Table(
        columns=("node", "largest change, logits"),
        rows=tuple(
            Row(
                name=name,
                cells=(Cell(text=words.number(one), bar=round(one / matter[0][1], 3)),),
            )
            for name, one in matter
        ),
    )


def _cut(over: int) -> str:
    return f"{over} more are in the file of findings." if over > 0 else ""
