"""Attributes of a `config.json` on which the model's numbers do not depend, by rules.

Each rule is about what an attribute is for. What fits none of them may change numbers,
and is refused by its name (`Attributes.finish`).
"""

import re

from mcq_jax.checkpoints.attributes import Attributes
from mcq_jax.model import ModelConfig

_RULES = {
    "notes of libraries to themselves": r"_\w+",
    "who wrote it, with what": (
        r"(\w+_)?version|transformers\.js_config|unsloth_\w+|is_llama_config"
        r"|name_or_path|model_name|auto_factory"
    ),
    "the type of stored numbers": r"(torch_)?dtype|use_bfloat16|pretraining_tp",
    "kernels": r"(use_)?flash_att(n|ention)(_\d)?|attn_implementation|use_sdpa",
    "training": (
        r"\w*initializer_(range|factor)|init_std|(use_)?gradient_checkpointing(_\w+)?"
        r"|(\w+_)?(dropout|pdrop|dropout_prob)|\w+_loss(_coef)?"
    ),
    "labels of classifiers, and their heads": (
        r"num_labels|id2label|label2id|problem_type|finetuning_task|summary_\w+"
        r"|task_specific_params"
    ),
    "what is returned": (
        r"output_(hidden_states|attentions|scores|logits|past)|torchscript"
        r"|(use_)?return_dict(_in_generate)?"
    ),
    "generation": (
        r"do_sample|early_stopping|temperature|(top|min|typical)_[kph]|max_time"
        r"|(encoder_)?(no_repeat_ngram_size|repetition_penalty)|penalty_alpha"
        r"|(length|diversity|exponential_decay_length)_penalty|(eta|epsilon)_cutoff"
        r"|num_(beams|beam_groups|return_sequences)|(min|max)_(length|new_tokens)"
        r"|(begin_)?suppress_tokens|bad_words_ids|force_words_ids|forced_\w+_ids"
        r"|remove_invalid_values|renormalize_logits|guidance_scale|sequence_bias"
        r"|(num_)?assistant_\w+|target_lookbehind|prompt_lookup_\w+|stop_strings"
        r"|use_cache|cache_(implementation|config)|\w+_token_ids?|prefix"
    ),
    "the tokenizer, and the length of training texts": (
        r"tokenizer_\w+|model_max_length|max_seq(uence)?_len(gth)?|seq(_|uence_)?length"
    ),
    "computed another way, to the same numbers": r"chunk_size_feed_forward|is_decoder",
}
_NAMES = re.compile("|".join(f"(?:{rule})" for rule in _RULES.values()))

# Of every config of older versions; another value is another model.
_AS_USUAL = {
    "is_encoder_decoder": False,
    "add_cross_attention": False,
    "tie_encoder_decoder": False,
    "pruned_heads": {},
    "cross_attention_hidden_size": None,
    "quantization_config": None,
}


def is_without_effect(name: str) -> bool:
    """Says whether a rule covers an attribute of this name, whatever its value."""
    return _NAMES.fullmatch(name) is not None


def take_without_effect(attributes: Attributes, config: ModelConfig) -> None:
    """Takes what changes nothing of a model whose family has taken all that it uses.

    Raises:
        ValueError: for an attribute that says of the model what is not so.
    """
    for name, value in _AS_USUAL.items():
        attributes.expect(name, value)
    _take_layer_types(attributes, config)
    _take_windows(attributes, config)
    # Of families whose code does not read these, the weights say the same.
    attributes.expect("attention_bias", config.qkv_bias, False)
    attributes.expect("mlp_bias", config.mlp_bias)
    attributes.expect("num_key_value_heads", config.kv_heads)
    attributes.expect("head_dim", config.head_width)
    if config.rotary_width:
        fraction = config.rotary_width / config.head_width
        attributes.expect("partial_rotary_factor", fraction)
    for name in attributes.names():
        if is_without_effect(name):
            attributes.ignore(name)


def _take_layer_types(attributes: Attributes, config: ModelConfig) -> None:
    kinds = attributes.take("layer_types", list, None)
    if kinds is None:
        return
    windowed = set(config.windowed_layers)
    expected = [
        "sliding_attention" if layer in windowed else "full_attention"
        for layer in range(min(config.layers, len(kinds)))
    ]
    if len(kinds) != config.layers or kinds != expected:
        raise ValueError(
            f"layer_types is {kinds} in {attributes.source}; layers "
            f"{sorted(windowed)} of {config.layers} of this model have windows."
        )


def _take_windows(attributes: Attributes, config: ModelConfig) -> None:
    """Windows of families that have none, which are described but turned off."""
    has_windows = bool(config.windowed_layers)
    is_used = attributes.take("use_sliding_window", bool, None)
    if is_used is not None and is_used != has_windows:
        raise ValueError(
            f"use_sliding_window is {is_used} in {attributes.source}, and layers "
            f"{list(config.windowed_layers)} of models of this type have windows; mend "
            "the one or the other."
        )
    if is_used is False:
        attributes.ignore("sliding_window", "max_window_layers")
