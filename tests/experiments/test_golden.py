"""What the demo and word copy found before the frame, they find behind it."""

import dataclasses
import importlib.util
import pathlib

import pytest

from mcq_jax.experiments import RunConfig, run
from tests.experiments.golden import assert_golden
from tests.experiments.runs import quiet

CONFIGS = pathlib.Path(__file__).resolve().parents[2] / "configs"


def _card(name: str) -> RunConfig:
    spec = importlib.util.spec_from_file_location(name, CONFIGS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.config()


@pytest.mark.slow
def test_every_number_of_the_demo_is_what_it_was(tmp_path: pathlib.Path):
    config = dataclasses.replace(_card("demo"), out=str(tmp_path))
    found, _ = run(config, quiet())
    assert_golden("demo", found)


@pytest.mark.real
@pytest.mark.slow
def test_every_number_of_word_copy_is_what_it_was(tmp_path: pathlib.Path, model_file):
    model = str(model_file("qwen2.5-coder-1.5b"))
    card = dataclasses.replace(_card("qwen_word_copy"), model=model, out=str(tmp_path))
    found, _ = run(card, quiet())
    assert_golden("word_copy", found)
