"""What some tokens' inputs become when more is written in front of a layer.

Path patching of many sets of senders at once: each is a sum of changes, and a layer
reads all of them as rows of one program. `patch_paths` is for edges in a row.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from mcq_jax.axes import AnyArray
from mcq_jax.interventions import Capture, Node, Site
from mcq_jax.model import ModelConfig, Parameters
from mcq_jax.model.attention import head_writes
from mcq_jax.model.direct import output_weights
from mcq_jax.model.run import run_layers
from mcq_jax.passes import Held


def written_by(
    parameters: Parameters,
    nodes: Sequence[Node],
    held: Held,
    config: ModelConfig,
) -> Float[Array, "node row position width"]:
    """Returns what each node adds to the residual stream, in float32.

    Args:
        held: Z and MLP_OUT, `[layer, row, position, …]`; differences of two runs give
            the difference of what they write.
    """
    found = []
    for node in nodes:
        if node.head is None:
            found.append(held[Site.MLP_OUT][node.layer].astype(jnp.float32))
            continue
        kv_head, group = divmod(node.head, config.group)
        z = held[Site.Z][node.layer][:, :, kv_head, group][:, :, None, None]
        (segment,) = parameters.of_layer(node.layer).layers
        attention = jax.tree.map(lambda a: a[0], segment["attention"])
        output, _ = output_weights(attention, config)
        found.append(head_writes(z, output[kv_head, group][None, None])[:, :, 0, 0])
    return jnp.stack(found)


def read_with(
    parameters: Parameters,
    layer: int,
    site: Site,
    residual: Float[Array, "row position width"],
    changes: Float[Array, "node row position width"],
    sets: Bool[np.ndarray, "set node"],
    positions: Int[AnyArray, "row position"],
    *,
    config: ModelConfig,
) -> Array:
    """Returns a site of a layer, `[row, set, position, …]`, with more written before.

    Args:
        site: what follows from the residual stream at the token alone, such as Q, V or
            ROT_K.
        residual: in front of the layer, at some tokens.
        changes: of nodes before this layer, at the same tokens.
        positions: of these tokens.
    """
    sums = jnp.einsum(
        "sn,nrpw->rspw", jnp.asarray(sets, jnp.float32), changes,
        precision=jax.lax.Precision.HIGHEST,
    )  # fmt: skip
    rows, count, tokens, width = sums.shape
    x = (residual[:, None].astype(jnp.float32) + sums).astype(residual.dtype)
    run = run_layers(
        parameters.of_layer(layer),
        x.reshape(-1, tokens, width),
        jnp.repeat(jnp.asarray(positions), count, axis=0),
        config=config,
        capture=(Capture(site=site),),
        first_layer=layer,
    )
    seen = run.captured[0][0]
    return seen.reshape(rows, count, *seen.shape[1:])
