"""Experiments are given prompts that they say they read, and depend on no others."""

import dataclasses
import pathlib

import pytest

from mcq_jax.experiments import (
    USUAL,
    Behaviour,
    Experiment,
    HeadClasses,
    JointTests,
    Mutated,
    MutationGrid,
    NodeEffects,
    PromptOptions,
    RunConfig,
    prompt_set,
    run,
)
from tests.experiments.runs import quiet, with_experiments


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabelFound:
    name: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class FirstLabel(Experiment):
    """The gold letter of a first prompt: it reads other prompts, and may hide it."""

    name = "first_label"
    findings = LabelFound
    of: str
    says: bool = True

    def reads(self, config: RunConfig) -> tuple[str, ...]:
        return (self.of,) if self.says else ()

    def run(self, lab) -> LabelFound:
        first = lab.on(self.of).prompts.prompts[0]
        return LabelFound(name=str(first.gold_letter))


@pytest.mark.slow
def test_cards_of_one_folder_share_findings_that_read_nothing_they_differ_in(
    finished, copy, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    config, _ = copy
    had = {name: record.key for name, record in finished.found.records.items()}
    first = PromptOptions(name="first", questions="planted", question_count=4)
    second = dataclasses.replace(first, name="second")
    card = with_experiments(config, FirstLabel(of="first"))
    found, _ = run(dataclasses.replace(card, other_prompts=(first,)), quiet())
    had["first_label"] = found.records["first_label"].key
    for kind in (Behaviour, NodeEffects, JointTests, HeadClasses, FirstLabel):
        monkeypatch.setattr(kind, "run", lambda self, lab: pytest.fail(self.name))
    both = dataclasses.replace(card, other_prompts=(first, second))
    found, _ = run(both, quiet())
    assert {name: record.key for name, record in found.records.items()} == had
    # Other prompts under the same name are another key, in whatever folder.
    monkeypatch.undo()
    for count in (4, 5):
        asked = dataclasses.replace(first, question_count=count)
        out = str(tmp_path / str(count))
        other = dataclasses.replace(card, other_prompts=(asked,), out=out)
        found, _ = run(other, quiet(), only=["first_label"])
        is_same = found.records["first_label"].key == had["first_label"]
        assert is_same == (count == 4)


def test_prompts_that_an_experiment_does_not_name_are_not_given_to_it(copy):
    config, _ = copy
    first = PromptOptions(name="first", questions="planted", question_count=4)
    card = dataclasses.replace(
        with_experiments(config, FirstLabel(of="first", says=False)),
        other_prompts=(first,),
    )
    with pytest.raises(ValueError, match="prompts 'first' .* name them in its `reads`"):
        run(card, quiet())
    with pytest.raises(ValueError, match="first_label names the prompts 'else'; the c"):
        run(with_experiments(config, FirstLabel(of="else")), quiet())


def test_prompts_that_nothing_wanted_reads_are_not_asked(copy, monkeypatch):
    config, _ = copy
    made = []
    make = prompt_set.make_prompts
    monkeypatch.setattr(
        prompt_set, "make_prompts", lambda o, *a: made.append(o.name) or make(o, *a)
    )
    first = PromptOptions(name="first", questions="planted", question_count=4)
    card = dataclasses.replace(
        with_experiments(config, FirstLabel(of="first")), other_prompts=(first,)
    )
    run(card, quiet(), only=["behaviour"])
    assert made == ["main"]
    run(card, quiet(), only=["first_label"])
    assert made == ["main", "main", "first"]


def test_a_card_with_mutations_can_be_asked_behind_examples_where_none_reads_them(
    tmp_path: pathlib.Path,
):
    """What cannot be a mutation is refused where one is wanted, before the model."""
    card = RunConfig(
        title="shots", model=str(tmp_path / "nowhere"), questions="word_copy", shots=3,
        experiments=(*USUAL, MutationGrid()),
        other_prompts=(Mutated(mutation="reversed"),),
    )  # fmt: skip
    with pytest.raises(
        ValueError, match="have the mutation 'reversed' and are pairs or"
    ):
        run(card, quiet())
    with pytest.raises((ValueError, OSError), match="nowhere"):
        run(card, quiet(), only=["behaviour"])
