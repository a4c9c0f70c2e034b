"""Query swaps: planted heads by line follow places, those by letter letters."""

import dataclasses
import pathlib

import pytest

from mcq_jax import report
from mcq_jax.experiments import (
    Behaviour,
    HeadClasses,
    NodeEffects,
    PromptOptions,
    QuerySwaps,
    run,
)
from mcq_jax.results import Followed, QuerySwapsFindings, RunResults, SwapsFound
from tests.experiments.runs import planted_config, quiet


def _swapped(out: pathlib.Path, variant: str) -> tuple[RunResults, SwapsFound]:
    listed = (
        Behaviour(), NodeEffects(), HeadClasses(),
        QuerySwaps(forms=(("permuted", "permuted"),)),
    )  # fmt: skip
    config = planted_config(
        out, variant=variant, experiments=listed, question_count=8, effect_questions=4
    )
    permuted = PromptOptions(
        name="permuted", mutation="permuted", questions=config.questions,
        question_count=config.question_count, seed=config.seed,
    )  # fmt: skip
    config = dataclasses.replace(config, other_prompts=(permuted,))
    found, folder = run(config, quiet())
    values = found.get(QuerySwapsFindings)
    assert values is not None
    page = report.write_report(found, pathlib.Path(folder.path))
    assert 'id="swaps"' in page.read_text(encoding="utf-8")
    [form] = values.forms
    assert form.questions == 4  # of 8: the studied ones named the heads
    return found, form


def _of(form: SwapsFound, who: str, layer: int | None = None) -> Followed:
    [found] = [f for f in form.followed if (f.who, f.layer) == (who, layer)]
    return found


@pytest.mark.parametrize("variant", ["ordinal", "letter"])
def test_planted_heads_follow_what_they_were_built_to(tmp_path: pathlib.Path, variant):
    _, form = _swapped(tmp_path, variant)
    assert form.base_accuracy == form.source_accuracy == 1
    heads = _of(form, "correct-letter heads")
    assert heads.letter is not None and heads.too_few
    wanted, other = heads.place, heads.letter
    if variant == "letter":
        wanted, other = other, wanted
    assert wanted.mean == 1
    # Places and letters of permuted labels agree on a line here and there.
    assert abs(other.mean) < 0.7
    assert heads.stays.mean < 0.6
    drawn = _of(form, "random heads")
    assert drawn.stays.mean == 1
    assert drawn.place.mean == pytest.approx(0, abs=1e-9)
    # Before anything is read the residual points nowhere; at the end it has the letter.
    assert _of(form, "residual stream", 0).stays.mean == 1
    last = _of(form, "residual stream", 6)
    assert last.letter is not None and last.letter.mean == 1


def test_questions_that_named_the_heads_are_refused(tmp_path: pathlib.Path):
    listed = (Behaviour(), NodeEffects(), HeadClasses(), QuerySwaps())
    with pytest.raises(ValueError, match="all 4 questions were studied"):
        run(planted_config(tmp_path, experiments=listed), quiet())


def test_prompts_that_the_card_does_not_have_are_named(tmp_path: pathlib.Path):
    listed = (
        Behaviour(), NodeEffects(), HeadClasses(), QuerySwaps(forms=(("main", "odd"),)),
    )  # fmt: skip
    config = planted_config(tmp_path, experiments=listed)
    with pytest.raises(ValueError, match="'odd'; the card has main"):
        run(config, quiet())


def test_mutations_of_a_card_are_checked_before_anything_runs(tmp_path: pathlib.Path):
    with pytest.raises(ValueError, match="No mutation is called"):
        planted_config(tmp_path, mutation="scrambled")
    with pytest.raises(ValueError, match="worked"):
        planted_config(tmp_path, mutation="reversed", shots=2)
