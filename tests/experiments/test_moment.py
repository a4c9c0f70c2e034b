"""A chat template that writes the date writes that of the run's first day."""

import dataclasses
import datetime
import json
import types

import pytest

from mcq_jax.experiments import Behaviour, PromptOptions, manifest, pipeline, run
from mcq_jax.planted import asking
from tests.experiments.runs import planted_config, quiet

# The letter stands for what other templates write of the date.
TEMPLATE = (
    "{{ 'B' if strftime_now('%Y') == '2020' else 'C' }} {{ messages[0].content }}"
)


@pytest.fixture
def at(monkeypatch):
    """Sets the clock that a new run goes by."""

    def set_clock(year: int) -> None:
        class Clock(datetime.datetime):
            @classmethod
            def now(cls, tz=None):
                return cls(year, 5, 1)

        clock = types.SimpleNamespace(datetime=Clock)
        monkeypatch.setattr(manifest, "datetime", clock)

    return set_clock


@pytest.fixture
def config(tmp_path, monkeypatch):
    tokenizer = asking.tokenizer()
    tokenizer.chat_template = TEMPLATE
    found = planted_config(
        tmp_path, experiments=(Behaviour(),), inside_chat_template=True
    )
    checkpoint, truth = pipeline.open_model(found)
    checkpoint = dataclasses.replace(checkpoint, tokenizer=tokenizer)
    monkeypatch.setattr(pipeline, "open_model", lambda config: (checkpoint, truth))
    return found


def test_a_run_of_yesterday_goes_on_with_its_own_date(config, tmp_path, at):
    at(2020)
    begun, _ = run(config, quiet())
    assert "B" in begun.about.example_prompt.split()[:2]
    at(2021)
    resumed, _ = run(config, quiet())
    assert resumed.about.example_prompt == begun.about.example_prompt
    stored = json.loads((tmp_path / "manifest.json").read_text())
    assert stored["moment"] == "2020-05-01T00:00:00"
    with pytest.raises(ValueError, match="another run.*prompts"):
        run(dataclasses.replace(config, moment="2021-01-01"), quiet())
    (tmp_path / "manifest.json").write_text(json.dumps(stored | {"moment": "soon"}))
    with pytest.raises(ValueError, match=r"moment in .*manifest.json is 'soon'"):
        run(config, quiet())


def test_the_date_can_be_set(config, at):
    at(2021)
    found, _ = run(dataclasses.replace(config, moment="2020-12-31"), quiet())
    assert "B" in found.about.example_prompt.split()[:2]


def test_what_is_no_date_is_refused():
    with pytest.raises(ValueError, match="moment is 'today'; give a date"):
        PromptOptions(questions="word_copy", moment="today")
