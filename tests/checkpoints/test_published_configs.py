"""Configs as they are published load; with another value they are another model.

`published_configs.json` has them by groups with the same attributes: facts, no weights.
"""

import json
import pathlib
import random

import numpy as np
import pytest

from mcq_jax import checkpoints
from mcq_jax.checkpoints import huggingface
from tests.checkpoints import files, references

GROUPS = json.loads(
    (pathlib.Path(__file__).parent / "published_configs.json").read_text("utf-8")
)
CONFIGS = {
    name: group["config"] | own
    for group in GROUPS
    for name, own in group["models"].items()
}


def read(folder: pathlib.Path, config: dict):
    path = folder / "config.json"
    path.write_text(json.dumps(config))
    return huggingface.read_config(path)[1]


def altered(config: dict) -> dict[str, dict]:
    """The config with one attribute changed that changes numbers, by attribute."""
    changed = {
        key: change(config[key])
        for key, change in CHANGES.items()
        if config.get(key) is not None
    }
    changed["residual_multiplier"] = 0.5
    found = {key: config | {key: value} for key, value in changed.items()}
    if "use_sliding_window" in config and "layer_types" not in config:
        windows = {"sliding_window": 5, "max_window_layers": 1}
        found["use_sliding_window"] = config | windows | {"use_sliding_window": True}
    return found


def twice(number):
    return 2 * number


def flipped(flag):
    return not flag


def turned(values):
    return (
        values[::-1] if values != values[::-1] else ["sliding_attention", *values[1:]]
    )


CHANGES = {
    "activation_function": lambda _: "relu", "attention_bias": flipped,
    "attn_logit_softcapping": twice, "final_logit_softcapping": twice,
    "hidden_act": lambda _: "relu", "hidden_activation": lambda _: "relu",
    "layer_norm_eps": lambda e: 1e3 * e, "layer_norm_epsilon": lambda e: 1e3 * e,
    "layer_types": turned, "mlp_bias": flipped, "no_rope_layers": turned,
    "query_pre_attn_scalar": twice, "rms_norm_eps": lambda eps: 1e3 * eps,
    "rope_interleaved": flipped, "rope_local_base_freq": twice,
    "rope_scaling": lambda scaling: scaling | {"factor": 2.0}, "rope_theta": twice,
    "rotary_emb_base": twice, "rotary_pct": twice, "tie_word_embeddings": flipped,
    "use_parallel_residual": flipped, "sliding_window_pattern": twice,
}  # fmt: skip
# The reference does not read it in this family.
IGNORED = {("gemma2", "hidden_act")}


def test_there_are_sixty_of_all_families():
    assert len(CONFIGS) >= 60
    kinds = {config["model_type"] for config in CONFIGS.values()}
    assert kinds == set(huggingface.FAMILIES)


@pytest.mark.parametrize("name", CONFIGS)
def test_published_configs_load_and_changed_ones_are_other_models(tmp_path, name):
    published = CONFIGS[name]
    config = read(tmp_path, published)
    layers = published.get("num_hidden_layers", published.get("n_layer"))
    assert config.layers == layers
    for key, other in altered(published).items():
        if (published["model_type"], key) in IGNORED:
            continue
        try:
            assert read(tmp_path, other) != config, key
        except ValueError as error:
            assert key in str(error) or key == "rope_scaling"


ONE_OF_FAMILY = {config["model_type"]: name for name, config in CONFIGS.items()}


@pytest.mark.parity
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
            marks=[pytest.mark.exhaustive] * (name not in ONE_OF_FAMILY.values()),
        )
        for name in CONFIGS
    ],
)
def test_a_changed_config_is_refused_or_equals_the_reference(tmp_path, name):
    """Of a small model of the same attributes, one of them changed by lot."""
    small = shrunk(CONFIGS[name])
    key, other = random.Random(name).choice(sorted(altered(small).items()))
    print(name, key, compare(tmp_path, other))


def compare(folder: pathlib.Path, config: dict) -> str:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    try:
        # A family's own padding token may lie behind the small vocabulary.
        made = transformers.CONFIG_MAPPING[config["model_type"]].from_dict(
            config | {"pad_token_id": None}
        )
        model = transformers.AutoModelForCausalLM.from_config(
            made, attn_implementation="eager", dtype=torch.float32
        )
    except (ValueError, TypeError):
        with pytest.raises(ValueError):
            read(folder, config)
        return "refused by both"
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, 0.0, 0.3)
    model.eval().save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(config))
    files.TOKENIZER.save(str(folder / "tokenizer.json"))
    try:
        ours = checkpoints.load(folder)
    except checkpoints.CheckpointError:
        return "refused"
    pair = references.Pair(model, ours)
    tokens = references.random_tokens(1, 20)
    expected, found = references.theirs(pair, tokens), references.ours(pair, tokens)
    error = np.abs(expected.logits - found.logits).max()
    assert error <= references.TOLERANCE, error
    return "equal"


def shrunk(config: dict) -> dict:
    """The same attributes, small, without ids of tokens and code of its own."""
    layers, width, heads = 4, 32, 4
    is_grouped = config.get("num_key_value_heads") != config.get("num_attention_heads")
    sizes = {
        "hidden_size": width, "n_embd": width, "num_hidden_layers": layers,
        "n_layer": layers, "num_attention_heads": heads, "n_head": heads,
        "num_key_value_heads": 2 if is_grouped else heads, "intermediate_size": 20,
        "head_dim": 8, "vocab_size": files.VOCABULARY, "max_position_embeddings": 64,
        "n_positions": 64, "n_ctx": 64, "original_max_position_embeddings": 64,
        "max_window_layers": 1, "sliding_window": 5, "query_pre_attn_scalar": 8,
        "sliding_window_pattern": 2, "rotary_pct": 0.5,
    }  # fmt: skip
    found = {
        key: sizes[key] if key in sizes and value is not None else value
        for key, value in config.items()
        if not key.endswith("_token_id") and key != "auto_map"
    }
    for key in ("layer_types", "no_rope_layers"):
        listed = found.get(key)
        if listed is not None:
            found[key] = listed[-layers:]
    return found
