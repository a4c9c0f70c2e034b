"""What was asked, of which model: the first section."""

from mcq_jax.report import words
from mcq_jax.report.section import Section
from mcq_jax.results import RunResults

_SCOPE = "Everything here is about this model, this template and these questions."


def section(run: RunResults) -> Section:
    scope = [_SCOPE]
    if run.about.left_out:
        scope.append(f"{run.about.left_out} questions were left out for length.")
    scope += run.about.notes
    return Section(
        anchor="asked",
        short="Asked",
        title="What was asked",
        scope=tuple(scope),
        template="about.html",
        values={"terms": terms(run)},
    )


def terms(run: RunResults) -> tuple[tuple[str, str], ...]:
    """Returns what was asked, as pairs of a term and its value."""
    found = run.about
    size = f"{found.layers} layers × ({found.heads} heads + MLP)"
    shots = f"{found.shots}-shot" if found.shots else "no examples before it"
    return (
        ("Model", found.model),
        ("Size", size),
        ("Questions", found.questions_from),
        ("Template", f"{found.template}, {shots}"),
        ("Labels", "  ".join(found.labels)),
        ("n", f"{found.questions:,} questions, {found.prompts:,} prompts"),
        ("Run", f"{found.dtype} on {found.device}, seed {found.seed}"),
        ("Weights", words.short(found.model_hash, 20)),
    )
