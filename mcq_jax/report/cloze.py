"""Whether the model knows the texts whose letters it has to find."""

from mcq_jax.report import words
from mcq_jax.report.section import Section, Titled
from mcq_jax.report.table import Cell, Row, Table
from mcq_jax.results import ClozeFindings, RunResults, ScoredBy

_SCOPE = (
    "A text chosen without options shown is the likeliest of four, not what the model "
    "would say; texts that are worded alike, or that name other options, cannot be "
    "scored by themselves."
)


def section(run: RunResults) -> Section | None:
    found = run.get(ClozeFindings)
    if found is None:
        return None
    return Section(
        anchor="cloze",
        short="Texts",
        title="Does it know the text?",
        text="The same questions without options (cloze prompts): chosen is the option "
        "whose text is likeliest behind the question. By letter, with options shown, "
        f"accuracy is {words.percent(found.by_letter.mean)} "
        f"({words.spread(found.by_letter, as_percent=True)}); chance is "
        f"{words.percent(found.chance)}.",
        tables=(
            Titled(
                table=_table(found),
                note="Log-probabilities of the text: summed; by token; less those "
                "behind the cue alone. The last row sees no question: a control. The "
                "four counts are of questions: the letter is found if it is right "
                f"in every order. First prompt: {found.example!r}, then each option.",
            ),
        ),
        scope=(_SCOPE,),
        experiment="cloze",
    )


def _table(found: ClozeFindings) -> Table:
    return Table(
        columns=(
            "text chosen by", "accuracy", "letter less text", "both", "text only",
            "letter only", "neither",
        ),
        rows=tuple(_row(one) for one in found.scores),
    )  # fmt: skip


def _row(one: ScoredBy) -> Row:
    accuracy, less = one.accuracy, one.letter_less_this
    counts = (one.both, one.text_only, one.letter_only, one.neither)
    return Row(
        name=one.by,
        cells=(
            Cell(
                text=words.percent(accuracy.mean),
                below=words.spread(accuracy, as_percent=True),
            ),
            Cell(text=words.signed(less.mean), below=words.spread(less)),
            *(Cell(text=str(count)) for count in counts),
        ),
    )
