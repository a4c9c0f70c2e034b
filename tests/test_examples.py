"""Every example runs, and shows what it promises."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from mcq_jax import cli
from mcq_jax.interventions import Node, all_nodes
from mcq_jax.planted import plant

EXAMPLES = Path(__file__).parent.parent / "examples"


def _example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_read_activations():
    found = _example("read_activations").main()
    pointing = plant(0).truth.playing("correct-letter head")
    assert all(found[node] > 0.5 for node in pointing)


def test_patch_one_head(capsys: pytest.CaptureFixture[str]):
    before, after = _example("patch_one_head").main()
    assert before > 0 and after < before - 0.5
    assert "patch z of layer" in capsys.readouterr().out


@pytest.mark.slow
def test_sweep_all_heads():
    total, first_order = _example("sweep_all_heads").main()
    truth, largest = plant(0).truth, np.abs(total).max()

    def at(table: np.ndarray, node: Node) -> float:
        return table[node.layer, node.column(6)]

    inert = [node for node in truth.inert if node.head is not None]
    assert all(abs(at(total, node)) < 0.01 * largest for node in inert)
    # Writers of the answer act through a sum, whose first order is all there is.
    for role in ("correct-letter head", "amplifier head", "negative head"):
        for node in truth.playing(role):
            assert abs(at(total, node)) > 0.1 * largest
            assert at(first_order, node) == pytest.approx(at(total, node), rel=0.02)
    # Gatherers act through a threshold, which a slope cannot see.
    for node in truth.playing("content gatherer"):
        assert at(first_order, node) < 0.5 * at(total, node)


@pytest.mark.slow
def test_steer_a_generation():
    written = _example("steer_a_generation").main()
    share = {strength: np.mean(np.array(w) == "B") for strength, w in written.items()}
    assert share[0.0] == pytest.approx(0.25)  # every option is right equally often
    assert share[0.0] <= share[0.3] <= share[1.0] == 1.0


@pytest.mark.slow
def test_sweep_on_many_devices(capsys: pytest.CaptureFixture[str]):
    lost = _example("sweep_on_many_devices").main()
    model = plant(0)
    nodes = all_nodes(model.config.layers, model.config.heads)
    by_node = dict(zip(nodes, lost.max(axis=0), strict=True))
    assert all(by_node[n] > 0.1 for n in model.truth.playing("correct-letter head"))
    assert f"{lost.size} patches on data=1,model=1" in capsys.readouterr().out


@pytest.mark.slow
def test_an_experiment_of_your_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    card = str(EXAMPLES / "an_experiment_of_your_own.py")
    out = tmp_path / "run"
    # Sixteen prompts at once, as in other tests: they share the programs.
    flags = ["--needed.fall", "0.05", "--batch", "16", "--only", "needed"]
    assert cli.main(["run", card, "--out", str(out), *flags]) == 0
    page = (out / "report.html").read_text(encoding="utf-8")
    assert 'id="needed"' in page and "Some node is needed in every question" in page
    found = json.loads((out / "findings" / "needed.json").read_text())
    planted = {str(node) for node in plant(0).truth.playing("correct-letter head")}
    assert planted <= set(found["values"]["nodes"])
    assert found["needs"].keys() == {"node_effects"}
    # Drawn anew without a model: by its own section, or as the numbers that they are.
    assert cli.main(["report", str(out), "--card", card]) == 0
    assert 'id="needed"' in (out / "report.html").read_text(encoding="utf-8")
    assert cli.main(["report", str(out)]) == 0
    assert 'id="experiment-needed"' in (out / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_train_a_model(tmp_path: Path):
    losses = _example("train_a_model").main(str(tmp_path / "run"))
    assert list(losses) == [0, 20, 40, 80]
    assert losses[0] == pytest.approx(np.log(20), abs=0.3) and losses[80] < 0.2
