"""SmolLM3: every fourth layer does not rotate; those may have windows."""

from mcq_jax.checkpoints.attributes import Attributes
from mcq_jax.checkpoints.families.family import Family
from mcq_jax.checkpoints.huggingface_settings import read_biases, read_llama
from mcq_jax.checkpoints.windows import read_windows
from mcq_jax.model import ModelConfig


def _config(attributes: Attributes) -> ModelConfig:
    settings = read_llama(attributes, context=32_768, rope_base=2_000_000.0)
    layers = settings["layers"]
    interval = attributes.take("no_rope_layer_interval", int, 4)
    default = [int((i + 1) % interval != 0) for i in range(layers)]
    rotates = attributes.take("no_rope_layers", list, default)[:layers]
    unrotated = tuple(i for i, turns in enumerate(rotates) if not turns)
    attributes.ignore("max_window_layers")  # which the reference does not read here
    uses_window = attributes.take("use_sliding_window", bool, False)
    window = attributes.take("sliding_window", int, None)
    window = window if uses_window else None
    windowed = unrotated if window is not None else ()
    return ModelConfig(
        **settings,
        **read_biases(attributes, has_mlp_bias=True),
        **read_windows(attributes, layers, window, windowed),
        unrotated_layers=unrotated,
    )


FAMILY = Family(
    model_type="smollm3",
    architecture="SmolLM3ForCausalLM",
    config=_config,
    is_tied=True,
)
