"""The study's page: every model stands on it, also one that never learned."""

import dataclasses
import json
import pathlib
import re

import pytest

from mcq_jax.studies import cleaning, cleaning_page
from mcq_jax.studies.cleaning import Plan
from mcq_jax.studies.cleaning_page import Asked
from tests.report.pages import Page

PLAN = Plan(seeds=tuple(range(10)))


def _write(folder: pathlib.Path, arm: str, seed: int, t99: int | None) -> None:
    curve = {"step": [2000, 4000, 8000], "excess": [0.5, 0.2, 0.1],
             "accuracy_plain": [0.5, 0.995, 1.0]}  # fmt: skip
    late = None if t99 is None else 8000
    found: dict = {
        "arm": arm, "seed": seed, "curve": curve, "t99": t99, "flat": None,
        "late": late, "at_start": {"D": 0.01, "O1": None, "O2": None},
    }  # fmt: skip
    if t99 is not None:
        found["at_t99"] = {"O1": 3.0 + seed / 100, "O2": 0.5, "accuracy": 1.0}
        found["at_late"] = {"O1": 2.0 - seed / 100, "O2": 0.5, "accuracy": 1.0,
                            "accuracy_permuted": 0.97}  # fmt: skip
    name = f"{arm.lower()}-{seed:03d}.json"
    (folder / name).write_text(json.dumps(found), encoding="utf-8")


@pytest.fixture
def results(tmp_path: pathlib.Path) -> pathlib.Path:
    folder = tmp_path / "results"
    folder.mkdir()
    for seed in range(10):
        for arm in ("FIXED", "SHUFFLED"):
            never = (arm, seed) == ("FIXED", 9)
            _write(folder, arm, seed, None if never else 4000)
    return folder


def _asked(results: pathlib.Path) -> Asked:
    out = str(results.parent / "page.html")
    random_golds = str(results.parent / "random")
    return Asked(
        registered="abc1234", results=str(results), random_golds=random_golds, out=out
    )


def test_the_page_has_every_model_and_verdict(results: pathlib.Path):
    asked = dataclasses.replace(_asked(results), deviations=("One <fell> over.",))
    page = Page(cleaning_page.write_page(asked, PLAN).read_text(encoding="utf-8"))
    text = page.text("main")
    for said in (
        "abc1234", "One <fell> over.", "arm F, seed 0", "arm S, seed 9",
        "never learned", "not flat by its last step", "arm R", "not run", "cleaner",
        "no change", "no statement about Chinchilla", "3.00 → 2.00",
    ):  # fmt: skip
        assert said in text, said
    # By arm: the median of steps, and the mean of 2^(2 - seed / 100) nodes.
    assert re.search(r"arm F, 9 learned\W+4,000\W+3\.89", text)
    assert re.search(r"arm S, 10 learned\W+4,000\W+3\.88", text)
    # A line for each of the 19 models that learned, in each panel.
    tips = [said for inside, said in page.texts if inside[-1:] == ("title",)]
    assert sum(tip.startswith("arm ") for tip in tips) == 4 * 19
    # Nine pairs for the difference between arms.
    found = cleaning.verdicts(cleaning.read_results(str(results)))
    assert {name: test.pairs for name, test in found.items()} == {
        "O1, arm S": 10, "O2, arm S": 10, "O1, S - F": 9,
    }  # fmt: skip


def test_there_is_no_page_before_all_models_are_there(results: pathlib.Path):
    (results / "shuffled-004.json").unlink()
    with pytest.raises(ValueError, match="no results of shuffled-004 yet"):
        cleaning_page.write_page(_asked(results), PLAN)


def test_controls_say_whether_their_gate_is_open(results: pathlib.Path):
    asked = _asked(results)
    page = Page(cleaning_page.write_page(asked, PLAN).read_text(encoding="utf-8"))
    assert "Random golds" not in page.text("main")
    folder = pathlib.Path(asked.random_golds)
    folder.mkdir()
    for seed, is_open in ((0, False), (1, True)):
        gate = {"open": is_open, "null": [-0.25, 0.75]}
        found = {"arm": "FIXED", "seed": seed, "t99": None,
                 "at_last": {"accuracy": 0.26, "D": 0.5, "gate": gate}}  # fmt: skip
        (folder / f"fixed-00{seed}.json").write_text(json.dumps(found))
    page = Page(cleaning_page.write_page(asked, PLAN).read_text(encoding="utf-8"))
    text = page.text("main")
    assert "−0.25 to 0.75" in text and "closed" in text and "open" in text


def test_a_test_of_few_pairs_is_infeasible_and_has_no_numbers(results: pathlib.Path):
    for seed in range(3):
        _write(results, "SHUFFLED", seed, None)
    asked = _asked(results)
    page = Page(cleaning_page.write_page(asked, PLAN).read_text(encoding="utf-8"))
    text = page.text("main")
    assert "infeasible" in text and "n = 16 of 20 models" in text
    assert re.search(r"O2, arm S\W+infeasible\W+7\W+0\.15", text)  # dashes between
