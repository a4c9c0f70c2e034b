"""`ModelConfig`: everything about a checkpoint that fixes its compiled program."""

import dataclasses
import enum
import functools
import typing
from typing import Any

from mcq_jax.annotations import fits, in_words
from mcq_jax.arguments import check_kind, described


class Norm(enum.Enum):
    """The normalisation before each block and before the unembedding."""

    RMS = "divide by the root mean square, multiply by a gain"
    LAYER = "subtract the mean first, add a bias in the end"
    NONE = "pass through; for models built by hand"


class QueryKeyNorm(enum.Enum):
    """The RMS norm of queries and keys before they rotate."""

    NONE = "none"
    HEAD = "each head by itself, with one gain for all heads"
    PROJECTION = "all heads together"


class Activation(enum.Enum):
    """The non-linearity of the feed-forward block."""

    SILU = "silu"
    GELU = "gelu"
    GELU_TANH = "gelu_tanh"
    RELU = "relu"


class RopeScaling(enum.Enum):
    """How rotary frequencies are stretched for long contexts."""

    NONE = "none"
    LINEAR = "linear"
    LLAMA3 = "llama3"


class Precision(enum.Enum):
    """How a device multiplies float32 numbers. Products of bfloat16 ones are exact.

    Sums are in float32 always.
    """

    HIGHEST = "as float32: six passes of bfloat16 on a TPU, no TF32 on a GPU"
    HIGH = "three passes of bfloat16, or TF32"
    DEFAULT = "as the device does it fastest: one pass of bfloat16 on a TPU"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The shape of a decoder-only transformer. Hashable: a static argument of jit."""

    # Number of transformer layers.
    layers: int
    # Size of the residual stream.
    width: int
    # Key/value heads, and how many query heads read each of them (1: no sharing).
    kv_heads: int
    group: int
    # Size of one head's queries, keys and values.
    head_width: int
    # Hidden units of a feed-forward block.
    neurons: int
    # Tokens in the (possibly padded) embedding table.
    vocabulary: int
    # Longest sequence the checkpoint was made for.
    context: int
    # Whether the unembedding reads the embedding's table and has none of its own.
    tied: bool = False

    # Of the products of matrices. Lower ones are for training, where float32 costs six
    # times as much on a TPU; what is measured here is measured with the highest.
    precision: Precision = Precision.HIGHEST

    norm: Norm = Norm.RMS
    norm_epsilon: float = 1e-6
    # Whether each half of a layer norms what it reads, and what it writes.
    pre_norm: bool = True
    post_norm: bool = False
    query_key_norm: QueryKeyNorm = QueryKeyNorm.NONE
    # True: attention and feed-forward block both read the layer's input.
    parallel: bool = False

    activation: Activation = Activation.SILU
    # True: act(gate) * pre; False: act(pre).
    gated: bool = True
    # Biases on queries, keys and values (Qwen2); on attention's output.
    qkv_bias: bool = False
    attention_output_bias: bool = False
    # Biases in the feed-forward block.
    mlp_bias: bool = False

    # What embeddings are multiplied by.
    embedding_scale: float = 1.0
    # A learned vector per position, added to the embeddings.
    learned_positions: bool = False
    # A term of the scores that depends on the distance (Transformer-XL).
    relative_positions: bool = False
    # Dimensions of each head that rotate: head_width for full RoPE, 0 for none.
    rotary_width: int
    rope_base: float = 10_000.0
    rope_scaling: RopeScaling = RopeScaling.NONE
    rope_factor: float = 1.0
    # Llama 3's scaling only: frequency bounds and the context before stretching.
    rope_low_factor: float = 1.0
    rope_high_factor: float = 4.0
    rope_original_context: int = 8192
    # Layers whose queries and keys do not rotate.
    unrotated_layers: tuple[int, ...] = ()

    # Layers that see only the last `window` tokens, their own included.
    windowed_layers: tuple[int, ...] = ()
    window: int | None = None
    # The rotary base of windowed layers, unscaled; None: they rotate as the others.
    windowed_rope_base: float | None = None
    # Scores are q.k times this; None means head_width ** -0.5.
    score_scale: float | None = None
    # Whether layer l divides its scores by l + 1 as well.
    score_scale_by_layer: bool = False
    # Scores and logits are squashed below these, by cap * tanh(x / cap).
    score_cap: float | None = None
    logit_cap: float | None = None

    def __post_init__(self):
        for name, kind in _kinds().items():
            value = getattr(self, name)
            # A list has no hash, which a static argument needs.
            if not fits(value, kind) or isinstance(value, list):
                raise ValueError(
                    f"{name} is {described(value)}; give {in_words(kind)}."
                )
        for name in _SIZES:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; give at least 1.")
        for name in _ABOVE_ZERO:
            value = getattr(self, name)
            if value is not None and not value > 0:
                or_none = ", or None for no cap" if name.endswith("_cap") else ""
                raise ValueError(f"{name} is {value}; give a number above 0{or_none}.")
        if not self.norm_epsilon >= 0:
            raise ValueError(f"norm_epsilon is {self.norm_epsilon}; give 0 or more.")
        if self.rotary_width % 2 or not 0 <= self.rotary_width <= self.head_width:
            raise ValueError(
                f"rotary_width is {self.rotary_width}; give an even number between 0 "
                f"and head_width ({self.head_width})."
            )

        if self.post_norm and self.norm is not Norm.RMS:
            raise ValueError(
                f"post_norm with {self.norm}; what a block writes is normed by "
                "Norm.RMS only."
            )
        if self.relative_positions and self.width % 2:
            raise ValueError(
                f"relative_positions with a width of {self.width}; give an even one."
            )
        self._check_layers()

    def _check_layers(self) -> None:
        if bool(self.windowed_layers) != (self.window is not None):
            raise ValueError(
                f"windowed_layers {self.windowed_layers} with a window of "
                f"{self.window}; give both or neither."
            )
        if self.window is not None and self.window < 1:
            raise ValueError(f"window is {self.window}; give at least 1.")
        bad = [i for i in (*self.windowed_layers, *self.unrotated_layers)
               if not 0 <= i < self.layers]  # fmt: skip
        if bad:
            raise ValueError(
                f"windowed or unrotated layers {bad} in a model of {self.layers}; "
                f"give some of 0 to {self.layers - 1}."
            )

    @property
    def heads(self) -> int:
        """Query heads of a layer."""
        return self.kv_heads * self.group

    @property
    def nodes(self) -> int:
        """Nodes of a layer: its query heads and its feed-forward block."""
        return self.heads + 1


_SIZES = (
    "layers", "width", "kv_heads", "group", "head_width", "neurons", "vocabulary",
    "context",
)  # fmt: skip


# Where they are numbers at all.
_ABOVE_ZERO = (
    "rope_base", "rope_factor", "windowed_rope_base", "score_cap", "logit_cap",
)  # fmt: skip


def check_config(config: Any) -> None:
    """Raises ValueError for what is no config."""
    check_kind(config, ModelConfig, "config", "`load(path).config` is one")


@functools.cache
def _kinds() -> dict[str, Any]:
    return typing.get_type_hints(ModelConfig)
