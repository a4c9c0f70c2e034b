"""Logits equal those of `transformers` on tiny random models of every shape."""

import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax import checkpoints, model
from tests.checkpoints import files

pytestmark = pytest.mark.parity

# Both compute in float32, on logits of a few units.
TOLERANCE = 1e-4

LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
LINEAR = {"rope_type": "linear", "rope_theta": 500.0, "factor": 3.0}

# heads, key/value heads, head width, width, neurons, and what else differs.
CASES = {
    "llama, every head its own keys": ("llama", 3, 3, 4, 12, 17, {}),
    "llama, grouped, head width apart from the width": ("llama", 6, 2, 10, 18, 9, {}),
    "llama, one key head": ("llama", 5, 1, 6, 30, 11, {}),
    "llama, tied": ("llama", 4, 2, 6, 24, 20, {"tie_word_embeddings": True}),
    "llama, all biases": (
        "llama",
        4,
        2,
        6,
        24,
        20,
        {"attention_bias": True, "mlp_bias": True},
    ),
    "llama, rope of Llama 3": ("llama", 6, 3, 16, 24, 13, {"rope_parameters": LLAMA3}),
    "llama, linear rope": ("llama", 2, 1, 8, 18, 7, {"rope_parameters": LINEAR}),
    "qwen2, every head its own keys": ("qwen2", 3, 3, 4, 12, 17, {}),
    "qwen2, grouped": ("qwen2", 14, 2, 4, 56, 10, {}),
    "qwen2, one key head, tied": (
        "qwen2",
        3,
        1,
        8,
        24,
        5,
        {"tie_word_embeddings": True},
    ),
}


def build(case):
    """Returns a random reference model, with gains and biases random too."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    family, heads, kv_heads, head_width, width, neurons, more = case
    configs = {"llama": transformers.LlamaConfig, "qwen2": transformers.Qwen2Config}
    own = {"head_dim": head_width} if family == "llama" else {}
    config = configs[family](
        hidden_size=width,
        intermediate_size=neurons,
        num_hidden_layers=3,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        vocab_size=files.VOCABULARY,
        max_position_embeddings=64,
        rms_norm_eps=1e-5,
        **(own | more),
    )
    torch.manual_seed(0)
    reference = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for name, parameter in reference.named_parameters():
            parameter.normal_(0.0, 0.3)
            if "norm" in name:
                parameter.add_(1.0)
    return torch, reference


@pytest.mark.parametrize("name", CASES)
def test_logits_equal_the_reference(tmp_path, name):
    torch, reference = build(CASES[name])
    reference.save_pretrained(tmp_path)
    files.TOKENIZER.save(str(tmp_path / "tokenizer.json"))
    loaded = checkpoints.load(tmp_path)

    generator = np.random.default_rng(1)
    tokens = generator.integers(0, files.VOCABULARY, (2, 40))
    with torch.no_grad():
        theirs = reference(torch.tensor(tokens)).logits.numpy()
    tokens = jnp.asarray(tokens, jnp.int32)
    ours = model.forward(loaded.parameters, tokens, config=loaded.config).logits
    assert np.abs(theirs).max() > 1
    assert np.abs(np.asarray(ours) - theirs).max() <= TOLERANCE
