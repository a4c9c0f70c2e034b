"""A plan for this machine and for chips that are not here, as the command line asks."""

import importlib.util
import json

import jax
import pytest

from mcq_jax.model import parameter_shapes
from mcq_jax.planning import CHIPS, PlanOptions, chips, plan_in_own_process
from mcq_jax.planning.command import print_plan, shape_of

LLAMA = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"],
    "num_hidden_layers": 4, "hidden_size": 512, "num_attention_heads": 8,
    "num_key_value_heads": 4, "intermediate_size": 1024, "vocab_size": 256,
    "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "rope_theta": 1e4,
    "hidden_act": "silu", "tie_word_embeddings": False,
}  # fmt: skip

needs_compiler = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None,
    reason="needs the TPU's compiler: pip install mcq-jax[tpu]",
)


@pytest.fixture
def checkpoint(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    return str(tmp_path)


def test_shapes_are_presets_or_folders(checkpoint: str):
    assert shape_of(checkpoint).width == 512
    assert shape_of("chinchilla-70b").relative_positions
    with pytest.raises(ValueError, match="no shape 'chinchilla-71b'"):
        shape_of("chinchilla-71b")


def test_without_the_compiler_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"mcq-jax\[tpu\]"):
        plan_in_own_process("llama-3-8b", PlanOptions(topology="v5e:2x2"))


@pytest.mark.slow
def test_a_small_sweep_is_planned_for_this_machine(
    checkpoint: str, capsys, monkeypatch
):
    shapes = parameter_shapes(shape_of(checkpoint))
    layer = sum(s.size for s in jax.tree.leaves(shapes.layers))
    once = sum(s.size for s in jax.tree.leaves((shapes.embed, shapes.unembed)))
    print_plan(checkpoint, PlanOptions(tokens=16, prompts=3, sources=2))
    printed = capsys.readouterr().out
    assert "GFLOP/s and" in printed and "mesh data=1,model=1, 16 tokens" in printed
    # All of it fits: one chunk, no larger one.
    assert "this chunk fits: 3 prompts x 2 sources x 36 rows" in printed
    # float32, as runs on CPUs are.
    weights = 4 * (4 * layer + once) / 1e9
    assert f"parameters       {weights:7.2f} GB" in printed
    # Where the machine does not say how much memory is free, as on macOS.
    monkeypatch.setattr(chips, "free_bytes", lambda: None)
    print_plan(
        checkpoint, PlanOptions(tokens=16, prompts=3, chunk="3x2x36", dtype="bfloat16")
    )
    printed = capsys.readouterr().out
    assert f"parameters       {weights / 2:7.2f} GB" in printed
    assert "GB of what this machine does not say" in printed


@needs_compiler
@pytest.mark.slow
def test_a_small_sweep_is_planned_for_a_slice(checkpoint: str, capfd):
    options = PlanOptions(
        topology="v5e:2x2", mesh="data=2,model=2", fully_sharded=True, tokens=128,
        prompts=8, sources=2,
    )  # fmt: skip
    assert plan_in_own_process(checkpoint, options) == 0
    printed = capfd.readouterr().out
    assert "4 chips v5e, mesh data=2,model=2" in printed
    assert f"of {CHIPS['v5e'].memory / 1e9:.2f} GB" in printed
    assert "all-gather" in printed and "all-reduce" in printed


@needs_compiler
@pytest.mark.slow
def test_a_chunk_that_does_not_fit_is_refused_in_one_line(checkpoint: str, capfd):
    options = PlanOptions(topology="v5e:1x1", tokens=128, chunk="400x1000x36")
    assert plan_in_own_process(checkpoint, options) == 1
    assert "400 prompts x 1000 sources x 36 rows, needs" in capfd.readouterr().out
