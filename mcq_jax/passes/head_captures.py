"""Queries, keys, values and scores of single query heads, as the model has them."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from mcq_jax.interventions import Capture, Node, Site
from mcq_jax.model.config import ModelConfig
from mcq_jax.model.int8 import dequantise
from mcq_jax.model.parameters import Parameters
from mcq_jax.model.run import run_embed, run_layers
from mcq_jax.prompts import TokenisedPrompt, batches


def capture_heads(
    parameters: Parameters,
    asked: Sequence[TokenisedPrompt],
    heads: Sequence[Node],
    keys: Int[np.ndarray, "prompt key"],
    *,
    config: ModelConfig,
    prompts_at_once: int,
) -> dict[Site, np.ndarray]:
    """Returns ROT_Q, ROT_K, V and SCORES of the heads, `[prompt, head, …]`, in float32.

    Queries are those of the answer position. Layers behind the last head do not run.

    Args:
        keys: positions of what is looked at.
    """
    layers = tuple(sorted({head.layer for head in heads}))
    parts, order = [], []
    for batch in batches(asked, size=prompts_at_once):
        who = jnp.asarray(batch.lengths[:, None] - 1)
        whom = jnp.asarray(keys[batch.index], jnp.int32)
        wishes = (
            Capture(site=Site.ROT_Q, layers=layers, positions=who),
            Capture(site=Site.ROT_K, layers=layers, positions=whom),
            Capture(site=Site.V, layers=layers, positions=whom),
            Capture(site=Site.SCORES, layers=layers, positions=who, keys=whom),
        )
        tokens = jnp.asarray(batch.ids)
        places = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
        x, _ = run_embed(parameters.embed, tokens, places, config=config)
        run = run_layers(
            _up_to(parameters, layers[-1]), x, places, config=config, capture=wishes
        )
        found = dict(zip((w.site for w in wishes), run.captured, strict=True))
        parts.append(_of_heads(found, heads, layers, config))
        order.append(batch.index)
    back = np.argsort(np.concatenate(order))
    return {
        site: np.concatenate([part[site] for part in parts])[back] for site in parts[0]
    }


def attention_weights(
    parameters: Parameters, head: Node, names: Sequence[str], config: ModelConfig
) -> dict[str, np.ndarray]:
    """Returns one query head's part of attention weights, by their names, in float32.

    Args:
        names: of weights that every query head has of its own: `query`, `output`, ….
    """
    (layer,) = parameters.of_layer(head.layer).layers
    chosen = {name: layer["attention"][name] for name in names}
    own = dequantise(jax.tree.map(lambda w: w[0], chosen))
    unit = kv_head_and_group(head, config)
    return {name: np.asarray(w[unit], np.float32) for name, w in own.items()}


def kv_head_and_group(head: Node, config: ModelConfig) -> tuple[int, int]:
    """Returns where a query head stands among those of its layer."""
    if head.head is None or not 0 <= head.head < config.heads:
        raise ValueError(
            f"{head} is no head of a model with {config.heads} heads a layer; give "
            "heads such as L0H0."
        )
    return divmod(head.head, config.group)


def _of_heads(
    found: dict[Site, jax.Array | None],
    heads: Sequence[Node],
    layers: tuple[int, ...],
    config: ModelConfig,
) -> dict[Site, np.ndarray]:
    """Picks each query head's own activations, and those of its key head."""
    arrays = {site: np.asarray(a, np.float32) for site, a in found.items()}
    picked: dict[Site, list[np.ndarray]] = {site: [] for site in arrays}
    for head in heads:
        slot, (kv, group) = layers.index(head.layer), kv_head_and_group(head, config)
        picked[Site.ROT_Q].append(arrays[Site.ROT_Q][slot][:, 0, kv, group])
        picked[Site.ROT_K].append(arrays[Site.ROT_K][slot][:, :, kv])
        picked[Site.V].append(arrays[Site.V][slot][:, :, kv])
        picked[Site.SCORES].append(arrays[Site.SCORES][slot][:, kv, group, 0])
    return {site: np.stack(rows, axis=1) for site, rows in picked.items()}


def _up_to(parameters: Parameters, layer: int) -> Parameters:
    """The parameters without the segments behind a layer."""
    kept, count = [], 0
    for group in parameters.layers:
        if count <= layer:
            kept.append(group)
        count += jax.tree.leaves(group)[0].shape[0]
    return parameters._replace(layers=tuple(kept))
