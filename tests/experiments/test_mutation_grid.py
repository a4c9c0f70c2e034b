"""The mutation grid: planted heads carry what they go by, and rows are whole passes."""

import dataclasses
import pathlib
from typing import Any

import numpy as np
import pytest

from mcq_jax.experiments import (
    Behaviour,
    Contrast,
    HeadClasses,
    MutationGrid,
    NodeEffects,
    PromptOptions,
    RunConfig,
    grid_contrasts,
    grid_rows,
    run,
)
from mcq_jax.experiments.head_bases import views_of
from mcq_jax.experiments.prompt_set import make_prompts
from mcq_jax.interventions import Node, Site, patch
from mcq_jax.metrics import Interval
from mcq_jax.model import forward
from mcq_jax.passes import subspace_edit
from mcq_jax.planted import asking
from mcq_jax.prompts import batch_of
from mcq_jax.report import mutation_grid as section
from mcq_jax.results import ContrastFound, GridRow, MutationGridFindings
from tests import tiny
from tests.experiments.runs import (
    lab_of,
    page_with,
    planted_config,
    quiet,
    random_checkpoint,
)

# Fixed before looking: what heads go by carries all, and what they do not go by less
# than some random directions may.
ALL, NOTHING = 0.97, 0.1
ROUNDING = 1e-4

SETS = ("permuted", "ordered_letters", "question_removed", "repeated_labels")
CONTRASTS = (
    Contrast(name="other letters", prompts=("ordered_letters",), expects="lasts"),
    Contrast(name="no question", prompts=("question_removed",), of="carried", by=0.5),
    Contrast(name="nothing", prompts=("question_removed", "permuted")),
)


def _card(out: pathlib.Path, *sets: str, **changes) -> RunConfig:
    grid = changes.pop("grid", MutationGrid(contrasts=CONTRASTS, draws=2))
    given: dict[str, Any] = dict(question_count=10, effect_questions=4) | changes
    listed = (Behaviour(), NodeEffects(), HeadClasses(), grid)
    config = planted_config(out, experiments=listed, **given)
    others = tuple(
        PromptOptions(
            name=mutation, mutation=mutation, questions=config.questions,
            question_count=config.question_count, seed=config.seed,
        )
        for mutation in sets
    )  # fmt: skip
    return dataclasses.replace(config, other_prompts=others)


def _grid(out: pathlib.Path, variant: str, **changes) -> MutationGridFindings:
    found, folder = run(_card(out, *SETS, variant=variant, **changes), quiet())
    page_with(found, folder, "mutations")
    values = found.get(MutationGridFindings)
    assert values is not None
    return values


def _row(found: MutationGridFindings, name: str) -> GridRow:
    [row] = [row for row in found.rows if row.prompts == name]
    return row


def _recovered(row: GridRow) -> dict[str, float]:
    return {
        cell.variant: cell.recovered.mean
        for cell in row.cells
        if cell.recovered is not None
    }


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["ordinal", "letter"])
def test_planted_heads_carry_what_they_go_by(tmp_path: pathlib.Path, variant: str):
    _check_variant(_grid(tmp_path, variant), variant)


@pytest.mark.exhaustive
@pytest.mark.parametrize("circuit", range(1, 11))
@pytest.mark.parametrize("variant", ["ordinal", "letter"])
def test_more_planted_heads_do(tmp_path: pathlib.Path, variant: str, circuit: int):
    _check_variant(_grid(tmp_path, variant, circuit=circuit), variant)


def _check_variant(found: MutationGridFindings, variant: str) -> None:
    assert (found.fitting_questions, found.parts_from) == (4, "permuted")
    goes_by, other = "place part", "letter part"
    if variant == "letter":
        goes_by, other = other, goes_by
    for name in ("main", "permuted"):
        recovered = _recovered(_row(found, name))
        assert recovered["intact"] == 1 and recovered["rank 0"] == 0
        for edit in ("unmutated", "unmutated, values too", "own", goes_by):
            assert recovered[edit] > ALL, (name, edit)
        assert abs(recovered[other]) < NOTHING
        assert abs(recovered["random directions"]) < 2 * NOTHING
        assert recovered["resampled"] < -0.2  # it writes another letter
    # E, F, G, H: the same places, and letters that no subspace has seen.
    letters = _recovered(_row(found, "ordered_letters"))
    assert letters["own"] > ALL
    assert abs(letters["unmutated, values too"]) < NOTHING
    assert (letters["unmutated"] > ALL) == (variant == "ordinal")
    assert (letters["place part"] > ALL) == (variant == "ordinal")
    # Without a question nothing points anywhere: behaviour, and no ratios.
    nothing = _row(found, "question_removed")
    assert nothing.refused == "The heads carry nothing here."
    assert set(_recovered(nothing)) == set()
    assert nothing.by_place is not None and not nothing.by_place.open
    assert "gold is a set" in _row(found, "repeated_labels").refused
    permuted = _row(found, "permuted")
    assert permuted.by_letter is not None and permuted.by_place is not None
    assert permuted.by_letter.selectivity != permuted.by_place.selectivity
    lasts, falls, untestable = found.contrasts
    assert lasts.difference is not None and falls.difference is not None
    kept = 0.0 if variant == "ordinal" else -1.0
    assert lasts.difference.mean == pytest.approx(kept, abs=NOTHING)
    assert falls.difference.mean == pytest.approx(-1, abs=0.01)
    assert untestable.difference is None
    assert untestable.why == "The heads carry nothing under question_removed."


HEADS = (Node(0, 0), Node(1, 2))
RANDOM = dataclasses.replace(
    tiny.CASES["grouped heads, biases, partial rotation"],
    vocabulary=len(asking.VOCABULARY),
    context=64,
)


@pytest.mark.slow
def test_rows_are_those_of_whole_passes_with_the_same_edits(tmp_path: pathlib.Path):
    """On random weights: values and all, the place alone, another prompt's output."""
    checkpoint = random_checkpoint(RANDOM)
    options = planted_config(tmp_path, question_count=4)
    asked = make_prompts(options, checkpoint).prompts
    permuted = make_prompts(
        dataclasses.replace(options, mutation="permuted"), checkpoint
    ).prompts
    lab = lab_of(checkpoint, None, tmp_path)  # type: ignore[arg-type]
    views = [views_of(lab, prompts, HEADS) for prompts in (asked, permuted)]
    edits = grid_rows.edits_of(views[1], *views, draws=1, seed=0)
    here = permuted[:8]
    sources, is_there = grid_rows.sources_of(here, 1)
    assert is_there.any()
    answers, normaliser = map(
        np.asarray, grid_rows.run_chunk(lab, here, sources, edits, HEADS)
    )
    batch = batch_of(here)
    last = np.arange(len(here)), batch.lengths - 1

    def whole(*edited):
        out = forward(
            checkpoint.parameters, batch.ids, edited, config=checkpoint.config,
            capture=[Site.Z],
        )  # fmt: skip
        return np.asarray(out.logits)[last], np.asarray(out.activations[Site.Z])

    plain, z = whole()
    expected = {0: plain}
    for variant in (grid_rows.WITH_VALUES, grid_rows.PLACE):
        [number] = edits.of(variant)
        expected[1 + number] = whole(
            *(
                subspace_edit(part, basis, head, batch, config=checkpoint.config)
                for (head, part), basis in edits.kept[number].items()
            )
        )[0]
    taken = z[:, sources[:, 0], last[1][sources[:, 0]]]
    expected[1 + len(edits.kept)] = whole(
        *(
            patch(
                Site.Z, taken[[head.layer], :, None], layers=[head.layer],
                positions=last[1][:, None], heads=[head.head or 0],
            )
            for head in HEADS
        )
    )[0]  # fmt: skip
    for row, logits in expected.items():
        own = np.take_along_axis(logits, batch.answer_ids, axis=-1)
        np.testing.assert_allclose(answers[:, row], own, atol=ROUNDING)
        sums = np.log(np.exp(logits.astype(np.float64)).sum(axis=-1))
        np.testing.assert_allclose(normaliser[:, row], sums, atol=ROUNDING)
        assert row == 0 or np.abs(logits - plain).max() > 100 * ROUNDING


@pytest.mark.parametrize(
    ("expects", "low", "high", "status"),
    [
        ("falls", -0.9, -0.3, "supported"),
        ("falls", -0.1, 0.1, "contradicted"),
        ("falls", -0.3, 0.1, "undecided"),
        ("lasts", -0.1, 0.1, "supported"),
        ("lasts", -0.9, -0.3, "contradicted"),
        ("lasts", -0.3, 0.1, "undecided"),
    ],
)
def test_a_contrast_is_judged_by_its_whole_interval(expects, low, high, status):
    found = ContrastFound(
        name="one", prompts=("permuted",), of="recovered", expects=expects, by=0.2,
        difference=Interval(mean=(low + high) / 2, low=low, high=high, questions=30),
    )  # fmt: skip
    assert section.claim(found).status == status
    nothing = dataclasses.replace(found, difference=None, why="Not there.")
    assert section.claim(nothing).status == "not testable here"


def test_contrasts_of_prompts_that_are_no_row_are_refused(tmp_path: pathlib.Path):
    with pytest.raises(ValueError, match="reversed; the card has, of the main"):
        grid_contrasts.check_contrasts(
            [Contrast(name="one", prompts=("reversed",))], ["main", "permuted"]
        )
    with pytest.raises(ValueError, match="of of the contrast"):
        Contrast(name="one", prompts=("permuted",), of="accuracy")
    with pytest.raises(ValueError, match="above 0"):
        Contrast(name="one", prompts=("permuted",), by=0)


def test_questions_that_named_the_heads_are_not_read(tmp_path: pathlib.Path):
    card = _card(tmp_path, "permuted", grid=MutationGrid(), question_count=4)
    with pytest.raises(
        ValueError, match="0 of 4 questions pass the filter and were not"
    ):
        run(card, quiet())
