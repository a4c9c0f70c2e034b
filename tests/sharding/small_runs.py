"""Small models of every sharing of heads, and the passes that are compared on them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from mcq_jax import passes, sweeps
from mcq_jax.interventions import Edit, Site, add, patch
from mcq_jax.model import ModelConfig, Parameters, forward, initialise, sites_of
from mcq_jax.prompts import TokenisedPrompt
from mcq_jax.results import RunFolder

PROMPTS, TOKENS, SOURCES, CHOICES = 8, 6, 2, 3
# Relative to the largest entry, in float32: sums come in another order.
ROUNDING = 2e-5
# Key/value heads, query heads of each, segments of layers.
SHAPES = {
    "every head its own keys, one stack": (8, 1, (2,)),
    "relative positions, one stack": (8, 1, (2,)),
    "grouped heads, one stack": (2, 4, (2,)),
    "grouped heads, single layers": (2, 4, (1, 1)),
    "one key head, single layers": (1, 8, (1, 1)),
}


def config_of(shape: str) -> ModelConfig:
    kv_heads, group, _ = SHAPES[shape]
    relative = shape.startswith("relative")
    return ModelConfig(
        layers=2, width=24, kv_heads=kv_heads, group=group, head_width=4, neurons=40,
        vocabulary=48, context=16, qkv_bias=True, relative_positions=relative,
        tied=shape.startswith("grouped"),
        rotary_width=0 if relative else 4,
    )  # fmt: skip


@functools.cache
def model_of(shape: str) -> tuple[ModelConfig, Parameters]:
    config = config_of(shape)
    return config, initialise(config, jax.random.key(0), sizes=SHAPES[shape][2])


def _draw(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def prompts_of(config: ModelConfig) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    tokens = draw.integers(config.vocabulary, size=(PROMPTS, TOKENS))
    return tokens.astype(np.int32), np.arange(PROMPTS) % 3 + TOKENS - 2


def _edits(config: ModelConfig, weight: float) -> tuple[Edit, ...]:
    """A head's output patched at one position per prompt, and the residual steered."""
    z = _draw(1, 1, PROMPTS, 1, config.kv_heads, config.group, config.head_width)
    direction = _draw(2, 1, 1, 1, config.width)
    at = (np.arange(PROMPTS) % TOKENS)[:, None]
    return (
        patch(Site.Z, jnp.asarray(z), layers=[1], positions=at, weight=weight),
        add(Site.RESID_POST, jnp.asarray(direction), layers=[0], weight=weight),
    )


def forwards(shape: str, parameters: Parameters):
    """Every site of a plain run and of an edited one, by one compiled program."""
    config = config_of(shape)
    tokens, _ = prompts_of(config)
    return [
        forward(
            parameters,
            tokens,
            _edits(config, w),
            config=config,
            capture=sites_of(config),
        )
        for w in (0.0, 1.0)
    ]


def sweep(shape: str, parameters: Parameters):
    """A prompt pass, every node patched from two sources, and the answers."""
    config = config_of(shape)
    start = passes.prefill(parameters, *prompts_of(config), config=config)
    heads = (config.kv_heads, config.group, config.head_width)
    sources: passes.Held = {
        Site.Z: jnp.asarray(_draw(3, config.layers, PROMPTS, SOURCES, 1, *heads)),
        Site.MLP_OUT: jnp.asarray(
            _draw(4, config.layers, PROMPTS, SOURCES, 1, config.width)
        ),
    }
    rows = sweeps.every_node(config)
    patched = passes.resume(parameters, start, sources, rows, config=config)
    ids = np.arange(PROMPTS * CHOICES).reshape(PROMPTS, CHOICES)
    answers = passes.read_answers(
        parameters.unembedding, patched.final, ids, config=config, chunk=64
    )
    pair = passes.NodeSets(rows.masks[:2] | rows.masks[-2:])
    kept = passes.resume(
        parameters, start, sources, pair, config=config, keep_nodes=True
    )
    return start, patched.final, answers, kept.final, kept.nodes


NEXT = sweeps.Sources(kinds=("next",), index=np.roll(np.arange(PROMPTS), -1)[:, None])


def asked_of(config: ModelConfig) -> list[TokenisedPrompt]:
    return [
        TokenisedPrompt(
            ids=ids[:length], spans=(), label_positions=np.full(CHOICES, -1),
            label_ids=np.full(CHOICES, -1), answer_ids=np.arange(CHOICES) + place,
            gold=place % CHOICES, question=f"question {place // 2}", rotation=place % 2,
        )
        for place, (ids, length) in enumerate(zip(*prompts_of(config), strict=True))
    ]  # fmt: skip


def table(shape: str, parameters: Parameters, folder: RunFolder | None = None):
    """`sweeps.sweep` of every node, from the next prompt, in chunks of odd size."""
    config = config_of(shape)
    asked, every_node = asked_of(config), sweeps.every_node(config)
    return sweeps.sweep(
        parameters, asked, every_node, NEXT, config=config, prompts_at_once=3,
        metrics={"patched": sweeps.patched_net}, full_vocabulary=False, folder=folder,
        weights="made here",
    ).values  # fmt: skip


def lone_prompt(shape: str, parameters: Parameters):
    """One prompt patched from three sources: neither fills a mesh, so rows must."""
    config, last = config_of(shape), 2
    tokens, lengths = (a[:1] for a in prompts_of(config))
    start = passes.prefill(parameters, tokens, lengths, config=config, suffix=last)
    heads = (config.kv_heads, config.group, config.head_width)
    nodes: passes.Held = {
        Site.Z: jnp.asarray(_draw(5, config.layers, 1, 3, 1, *heads)),
        Site.MLP_OUT: jnp.asarray(_draw(6, config.layers, 1, 3, 1, config.width)),
    }
    residuals: passes.Held = {
        Site.RESID_PRE: jnp.asarray(_draw(7, config.layers, 1, 3, last, config.width))
    }
    every_place = passes.Patches(
        site=Site.RESID_PRE,
        layers=np.repeat(np.arange(config.layers), last),
        offsets=np.tile(-1 - np.arange(last), config.layers)[None, :, None],
    )
    patched = functools.partial(passes.resume, parameters, start, config=config)
    pair = passes.NodeSets(sweeps.every_node(config).masks[:3])
    return (
        patched(nodes, sweeps.every_node(config), repeats=10**6).final,
        patched(residuals, every_place, repeats=10**6).final,
        patched(nodes, pair, keep_nodes=True).nodes,
    )


def assert_equal(found, expected) -> None:
    """Asserts that trees of arrays are the same but for the order of sums."""
    paths = jax.tree_util.tree_leaves_with_path(expected)
    for (path, want), have in zip(paths, jax.tree.leaves(found), strict=True):
        seen = np.isfinite(want)
        scale = float(np.abs(np.where(seen, want, 0)).max())
        name = jax.tree_util.keystr(path)
        np.testing.assert_allclose(
            have, want, rtol=0, atol=ROUNDING * scale, err_msg=name
        )
