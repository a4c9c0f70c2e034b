"""Tiny checkpoints on disk, written as their publishers write them.

Weights are a dict of arrays by Hugging Face's names, each `[output, input]`; all sizes
differ, so that no axis can stand in for another.
"""

import json
import pathlib

import gguf
import numpy as np
from safetensors.numpy import save_file

from tests.prompts import tokenizers_for_tests as small

LAYERS, WIDTH, NEURONS = 2, 32, 64
KV_HEADS, GROUP, HEAD_WIDTH = 2, 3, 16
HEADS = KV_HEADS * GROUP
TOKENIZER = small.byte_level()
VOCABULARY = TOKENIZER.get_vocab_size() + 3


def random_weights(family: str, *, is_tied: bool = False, seed: int = 0) -> dict:
    """Returns every tensor of a model of the family."""
    shapes = {
        "model.embed_tokens.weight": (VOCABULARY, WIDTH),
        "model.norm.weight": (WIDTH,),
    }
    if not is_tied:
        shapes["lm_head.weight"] = (VOCABULARY, WIDTH)
    for layer in range(LAYERS):
        start = f"model.layers.{layer}."
        query, key = HEADS * HEAD_WIDTH, KV_HEADS * HEAD_WIDTH
        shapes |= {
            start + "input_layernorm.weight": (WIDTH,),
            start + "self_attn.q_proj.weight": (query, WIDTH),
            start + "self_attn.k_proj.weight": (key, WIDTH),
            start + "self_attn.v_proj.weight": (key, WIDTH),
            start + "self_attn.o_proj.weight": (WIDTH, query),
            start + "post_attention_layernorm.weight": (WIDTH,),
            start + "mlp.gate_proj.weight": (NEURONS, WIDTH),
            start + "mlp.up_proj.weight": (NEURONS, WIDTH),
            start + "mlp.down_proj.weight": (WIDTH, NEURONS),
        }
        if family == "qwen2":
            shapes |= {
                start + "self_attn.q_proj.bias": (query,),
                start + "self_attn.k_proj.bias": (key,),
                start + "self_attn.v_proj.bias": (key,),
            }
    generator = np.random.default_rng(seed)
    return {
        name: generator.normal(0, 0.3, shape).astype(np.float32)
        for name, shape in shapes.items()
    }


def config(family: str, *, is_tied: bool = False) -> dict:
    """Returns a `config.json` as transformers 4 wrote it."""
    architecture = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM"}[family]
    own = {
        "llama": {"attention_bias": False, "mlp_bias": False, "pretraining_tp": 1},
        "qwen2": {
            "use_sliding_window": False,
            "sliding_window": 4096,
            "max_window_layers": 1,
        },
    }[family]
    return own | {
        "architectures": [architecture],
        "attention_dropout": 0.0,
        "bos_token_id": 1,
        "eos_token_id": [2, 3],
        "head_dim": HEAD_WIDTH,
        "hidden_act": "silu",
        "hidden_size": WIDTH,
        "initializer_range": 0.02,
        "intermediate_size": NEURONS,
        "max_position_embeddings": 48,
        "model_type": family,
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "num_key_value_heads": KV_HEADS,
        "rms_norm_eps": 1e-5,
        "rope_scaling": None,
        "rope_theta": 1000,
        "tie_word_embeddings": is_tied,
        "torch_dtype": "float32",
        "transformers_version": "4.42.3",
        "use_cache": True,
        "vocab_size": VOCABULARY,
    }


def write_folder(
    folder: pathlib.Path, weights: dict, config: dict, *, shards: int = 1
) -> pathlib.Path:
    """Writes a Hugging Face folder; several shards come with an index."""
    folder.mkdir(exist_ok=True)
    TOKENIZER.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps(config))
    if shards == 1:
        save_file(weights, folder / "model.safetensors")
        return folder
    names = sorted(weights)
    index = {}
    for shard in range(shards):
        file = f"model-{shard + 1:05d}-of-{shards:05d}.safetensors"
        part = names[shard::shards]
        save_file({name: weights[name] for name in part}, folder / file)
        index |= dict.fromkeys(part, file)
    content = {"metadata": {"total_size": 0}, "weight_map": index}
    (folder / "model.safetensors.index.json").write_text(json.dumps(content))
    return folder


GGUF_NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def gguf_name(name: str) -> str:
    outside = {
        "model.embed_tokens.weight": "token_embd.weight",
        "model.norm.weight": "output_norm.weight",
        "lm_head.weight": "output.weight",
    }
    if name in outside:
        return outside[name]
    layer, _, rest = name.removeprefix("model.layers.").partition(".")
    module, _, kind = rest.rpartition(".")
    return f"blk.{layer}.{GGUF_NAMES[module]}.{kind}"


def interleave(rows: np.ndarray) -> np.ndarray:
    """Permutes a query's or key's rows as the converter for llama.cpp does."""
    result = np.empty_like(rows)
    half = HEAD_WIDTH // 2
    for head in range(len(rows) // HEAD_WIDTH):
        for pair in range(half):
            start = head * HEAD_WIDTH
            result[start + 2 * pair] = rows[start + pair]
            result[start + 2 * pair + 1] = rows[start + half + pair]
    return result


def write_gguf(
    path: pathlib.Path,
    weights: dict,
    family: str,
    *,
    quantisation: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F32,
    extra: dict | None = None,
    tokenizer: dict | None = None,
    rope_base: float = 1000.0,
) -> pathlib.Path:
    """Writes a GGUF file; matrices are quantised, vectors stay float32.

    `extra` are further tensors by their GGUF names, `tokenizer` metadata that differs.
    """
    writer = gguf.GGUFWriter(path, family)
    writer.add_block_count(LAYERS)
    writer.add_context_length(48)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(NEURONS)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_key_length(HEAD_WIDTH)
    writer.add_value_length(HEAD_WIDTH)
    writer.add_rope_freq_base(rope_base)
    writer.add_layer_norm_rms_eps(1e-5)
    for key, value in (gguf_tokenizer() | (tokenizer or {})).items():
        if isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        elif isinstance(value, str):
            writer.add_string(key, value)
        elif value is not None:
            writer.add_array(key, value)
    for name, array in weights.items():
        turns = "q_proj" in name or "k_proj" in name
        stored = interleave(array) if turns and family == "llama" else array
        kind = quantisation if array.ndim == 2 else gguf.GGMLQuantizationType.F32
        data = gguf.quants.quantize(stored, kind)
        writer.add_tensor(gguf_name(name), data, raw_dtype=kind)
    for name, array in (extra or {}).items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def gguf_tokenizer() -> dict:
    """Returns the small tokenizer as GGUF metadata."""
    model = json.loads(TOKENIZER.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    padding = [f"[PAD{index}]" for index in range(VOCABULARY - len(tokens))]
    special = {small.BOS, "<|im_start|>", "<|im_end|>"}
    kinds = [3 if token in special else 1 for token in tokens]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens + padding,
        "tokenizer.ggml.token_type": kinds + [5] * len(padding),
        "tokenizer.ggml.merges": [" ".join(merge) for merge in model["merges"]],
        "tokenizer.ggml.bos_token_id": model["vocab"][small.BOS],
        "tokenizer.ggml.eos_token_id": model["vocab"]["<|im_end|>"],
        "tokenizer.chat_template": small.CHATML,
    }
