"""Runs of several checkpoints on one page: what is not to be had is a gap."""

import pathlib

import pytest

from mcq_jax.experiments import Behaviour, JointTests, NodeEffects, run
from mcq_jax.report import words
from mcq_jax.studies import over_checkpoints
from mcq_jax.studies.over_checkpoints import Asked
from tests.experiments.runs import planted_config, quiet
from tests.report.pages import Page


@pytest.mark.slow
def test_checkpoints_stand_in_the_order_given(tmp_path: pathlib.Path):
    folders = []
    for name, more in (("late", (NodeEffects(), JointTests())), ("early", ())):
        config = planted_config(
            tmp_path / name, experiments=(Behaviour(), *more), question_count=8,
            effect_questions=4,
        )  # fmt: skip
        folders.append(str(run(config, quiet())[1].path))
    asked = Asked(runs=tuple(folders[::-1]), out=str(tmp_path / "page.html"))
    page = Page(over_checkpoints.write_page(asked).read_text(encoding="utf-8"))
    rows = page.text("tbody").split("open")[1:]
    assert len(rows) == 2
    assert [row.count(words.MISSING) for row in rows] == [3, 2]
    # The planted circuit is right, and what brings its effect back is counted.
    assert [row.split()[0] for row in rows] == ["1.00", "1.00"]
    with pytest.raises(ValueError, match="1 run folders; give two or more"):
        over_checkpoints.write_page(Asked(runs=(folders[0],)))
