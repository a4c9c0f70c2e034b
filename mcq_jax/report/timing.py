"""The run: where the time went."""

from mcq_jax.report import run_figures, words
from mcq_jax.report.section import Plate, Section
from mcq_jax.results import RunResults


def section(run: RunResults) -> Section | None:
    if not run.seconds:
        return None
    return Section(
        anchor="run", short="The run", title="The run", figures=(_timing(run),)
    )


def _timing(run: RunResults) -> Plate:
    whole = words.duration(sum(run.seconds.values()))
    return Plate(
        name="timing",
        title="Where the time went",
        caption=f"{whole} in all on {run.about.device}.",
        sample=f"n = {words.count(len(run.seconds), 'stage')}",
        draw=run_figures.timing,
    )
