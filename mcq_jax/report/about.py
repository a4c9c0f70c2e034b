"""What was asked, of which model: the first section."""

from mcq_jax.report import words
from mcq_jax.report.section import Section
from mcq_jax.results import RunResults

_SCOPE = (
    "Everything here is about one model of one family, one template and these "
    "questions."
)
# What models are published in; fewer bits are another's rounding.
_PUBLISHED_BITS = 16


def section(run: RunResults) -> Section:
    scope = [_SCOPE]
    bits = run.about.weight_bits
    if bits is not None and bits < _PUBLISHED_BITS:
        scope.append(
            f"Its weights are rounded to {bits:.1f} bits each on average; the model as "
            "it was published may differ."
        )
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
