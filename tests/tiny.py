"""Tiny models for the tests: random ones of every shape, and one to do by hand.

All sizes of a random model differ, so that no axis can stand in for another.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from mcq_jax.model import (
    Activation,
    ModelConfig,
    Norm,
    Parameters,
    QueryKeyNorm,
    RopeScaling,
    parameter_shapes,
    segment_sizes,
    stack_layers,
)
from mcq_jax.model.parameters import Group

_config = functools.partial(
    ModelConfig,
    layers=3,
    width=10,
    head_width=6,
    neurons=7,
    vocabulary=13,
    context=16,
    rope_base=100.0,
)

# Between them: every sharing of heads, norm, feed-forward kind, bias and rotation.
CASES: dict[str, ModelConfig] = {
    "every head its own keys, full rotation": _config(
        kv_heads=2, group=1, rotary_width=6
    ),
    "grouped heads, biases, partial rotation": _config(
        kv_heads=2,
        group=4,
        rotary_width=4,
        qkv_bias=True,
        rope_scaling=RopeScaling.LINEAR,
        rope_factor=2.0,
        activation=Activation.GELU_TANH,
    ),
    "one key head, plain feed-forward, all biases, no rotation": _config(
        kv_heads=1,
        group=3,
        rotary_width=0,
        qkv_bias=True,
        attention_output_bias=True,
        mlp_bias=True,
        gated=False,
        activation=Activation.GELU_TANH,
    ),
    "no norm, own score scale": _config(
        kv_heads=1,
        group=2,
        rotary_width=2,
        norm=Norm.NONE,
        score_scale=0.2,
        mlp_bias=True,
    ),
    "as GPT-2: layer norm, learned positions": _config(
        kv_heads=2,
        group=1,
        rotary_width=0,
        norm=Norm.LAYER,
        tied=True,
        learned_positions=True,
        qkv_bias=True,
        attention_output_bias=True,
        mlp_bias=True,
        gated=False,
        activation=Activation.GELU_TANH,
        score_scale_by_layer=True,
    ),
    "as Pythia: blocks in parallel, little rotation": _config(
        kv_heads=3,
        group=1,
        rotary_width=2,
        norm=Norm.LAYER,
        parallel=True,
        qkv_bias=True,
        attention_output_bias=True,
        mlp_bias=True,
        gated=False,
        activation=Activation.GELU,
    ),
    "as Gemma 2: norms on both sides, caps, windows": _config(
        kv_heads=2,
        group=2,
        rotary_width=6,
        tied=True,
        post_norm=True,
        activation=Activation.GELU_TANH,
        embedding_scale=10**0.5,
        windowed_layers=(0, 2),
        window=3,
        score_cap=2.0,
        logit_cap=3.0,
        score_scale=0.3,
    ),
    "as Gemma 3: normed heads, own rotation in windows": _config(
        kv_heads=1,
        group=3,
        rotary_width=6,
        post_norm=True,
        query_key_norm=QueryKeyNorm.HEAD,
        activation=Activation.GELU_TANH,
        windowed_layers=(0, 1),
        window=2,
        windowed_rope_base=10.0,
    ),
    "as OLMo 2: norms behind the blocks, all heads normed together": _config(
        kv_heads=2,
        group=2,
        rotary_width=6,
        pre_norm=False,
        post_norm=True,
        query_key_norm=QueryKeyNorm.PROJECTION,
    ),
    "as SmolLM3: a layer without rotation": _config(
        kv_heads=2, group=2, rotary_width=6, unrotated_layers=(1,)
    ),
    "as Chinchilla: relative positions": _config(
        kv_heads=2,
        group=1,
        rotary_width=0,
        relative_positions=True,
        qkv_bias=True,
        attention_output_bias=True,
        mlp_bias=True,
        gated=False,
        activation=Activation.GELU,
    ),
}


# The cases that are shaped as a published family is.
FAMILIES = [case for case in CASES if case.startswith("as ")]
# Those that `make fast` tries: the usual one, caps and windows, no rotation.
FEW = (
    "grouped heads, biases, partial rotation",
    "as Gemma 2: norms on both sides, caps, windows",
    "as Chinchilla: relative positions",
)


def marks_of(case: str) -> list[pytest.MarkDecorator]:
    """Slow, but for a few: each model compiles its own programs."""
    return [] if case in FEW else [pytest.mark.slow]


def every_case(law: int) -> pytest.MarkDecorator:
    """Every model; of those that are no family's, by default one, turning with `law`.

    The usual one counts as a family: that of Llama.
    """
    others = [case for case in CASES if case not in (*FAMILIES, FEW[0])]
    own = others[law % len(others)]
    return pytest.mark.parametrize(
        "case",
        [
            pytest.param(
                case,
                marks=[pytest.mark.exhaustive]
                if case in others and case != own
                else marks_of(case),
            )
            for case in CASES
        ],
    )


def random_parameters(
    config: ModelConfig, *, seed: int = 0, dtype=jnp.float32, sizes=None
) -> Parameters:
    """Random weights in which gains and biases are random too."""
    shapes = parameter_shapes(config)
    generator = np.random.default_rng(seed)

    def draw(path, leaf) -> np.ndarray:
        is_gain = path[-1].key.endswith("gain")
        values = generator.normal(0, 0.4, leaf.shape) + is_gain
        return values.astype(dtype)

    one = shapes.layers[0]
    layers = iter([jax.tree.map_with_path(draw, one) for _ in range(config.layers)])
    sizes = segment_sizes(config) if sizes is None else sizes
    parameters = Parameters(
        embed=jax.tree.map_with_path(draw, shapes.embed),
        layers=tuple(
            jax.tree.map(lambda *w: np.stack(w), *itertools.islice(layers, size))
            for size in sizes
        ),
        unembed=jax.tree.map_with_path(draw, shapes.unembed),
    )
    return jax.tree.map(jnp.asarray, parameters)  # numpy stacks without a program


def random_tokens(
    config: ModelConfig, rows: int, positions: int, *, seed: int = 0
) -> Array:
    generator = np.random.default_rng(seed)
    values = generator.integers(config.vocabulary, size=(rows, positions))
    return jnp.asarray(values, jnp.int32)


# Two layers of two heads that share keys and values, no norm, no rotation: small
# integers throughout. Its logits are derived in tests/model/test_by_hand.py.
BY_HAND = ModelConfig(
    layers=2,
    width=2,
    kv_heads=1,
    group=2,
    head_width=1,
    neurons=2,
    vocabulary=3,
    context=4,
    norm=Norm.NONE,
    activation=Activation.RELU,
    gated=False,
    rotary_width=0,
    score_scale=1.0,
)


def by_hand_parameters() -> Parameters:
    """The integer model's weights."""
    # Looks everywhere equally (its queries are 0) and reads x0 + x1.
    averaging = _by_hand_layer(
        query=[[0, 0], [0, 0]],
        key=[1, 0],
        value=[1, 1],
        output=[[1, 0], [0, -1]],
        up=[[1, 0], [0, 1]],
        down=[[1, 1], [1, 2]],
    )
    # Head 0 looks at the largest x0 in sight, head 1 at the smallest; both read x1.
    choosing = _by_hand_layer(
        query=[[100, -100], [0, 0]],
        key=[1, 0],
        value=[0, 1],
        output=[[2, 0], [0, 3]],
        up=[[1, -1], [-1, 1]],
        down=[[0, 2], [5, 5]],
    )
    embed = jnp.array([[1.0, 0.0], [0.0, 2.0], [3.0, 1.0]])
    unembed = jnp.array([[1.0, 0.0], [0.0, 1.0], [1.0, -1.0]])
    return Parameters(
        embed={"~": {"table": embed}},
        layers=stack_layers([averaging, choosing], (1, 1)),
        unembed={"~": {"table": unembed}},
    )


def _by_hand_layer(*, query, key, value, output, up, down) -> Group:
    """One layer; `query` and `up` are [width, …], `output` and `down` […, width], key
    and value [width], as the heads are one number wide."""

    def shaped(values, shape):
        return jnp.asarray(values, jnp.float32).reshape(shape)

    return {
        "attention": {
            "query": shaped(jnp.asarray(query).T, (1, 2, 1, 2)),
            "key": shaped(key, (1, 1, 2)),
            "value": shaped(value, (1, 1, 2)),
            "output": shaped(output, (1, 2, 1, 2)),
        },
        "feedforward": {
            "up": shaped(jnp.asarray(up).T, (2, 2)),
            "down": shaped(down, (2, 2)),
        },
    }
