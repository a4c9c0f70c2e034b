"""Effects of nodes on one prompt: direct, total, and on every other outcome.

One sign: an effect above 0 means *the node helps*, so clean minus ablated for logits
and accuracy, ablated minus clean for losses. Ablated means that the node's output at
the answer position is the one from a source prompt; each function takes a leading
`source` axis (kinds of source, or several sources of one kind).
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mcq_jax.metrics import answers


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class NodeEffects:
    """Every effect of every node on one prompt; > 0 means that the node helps."""

    direct: Float[Array, "source layer node"]  # net logits
    total: Float[Array, "source layer node"]  # net logits, downstream recomputed
    indirect: Float[Array, "source layer node"]  # total - direct
    loss: answers.LossParts  # nats, each [source, layer, node]
    accuracy: Float[Array, "source layer node"]  # 1 right turned wrong, -1 the reverse
    kl: Float[Array, "source layer node"]  # KL(clean || patched) over the answers


def node_effects(
    contributions: Float[Array, "layer node choice"],
    source_contributions: Float[Array, "source layer node choice"],
    patched_logits: Float[Array, "source layer node choice"],
    patched_log_normaliser: Float[Array, "source layer node"],
    *,
    answer_logits: Float[Array, " choice"],
    log_normaliser: Float[Array, ""],
    gold: Int[Array, ""],
) -> NodeEffects:
    """Returns all effects of one prompt's nodes.

    Args:
      source_contributions: what the node writes on the source prompt, read at *this*
        prompt's norm scale.
      patched_logits: answer logits after the node's output came from the source.
    """
    direct = direct_effect(contributions, source_contributions, gold)
    total = total_effect(answer_logits, patched_logits, gold)
    return NodeEffects(
        direct=direct,
        total=total,
        indirect=total - direct,
        loss=loss_effect(
            (answer_logits, log_normaliser),
            (patched_logits, patched_log_normaliser),
            gold,
        ),
        accuracy=accuracy_drop(answer_logits, patched_logits, gold),
        kl=answers.kl(answer_logits, patched_logits),
    )


def direct_effect(
    contributions: Float[Array, "layer node choice"],
    source_contributions: Float[Array, "source layer node choice"],
    gold: Int[Array, ""],
) -> Float[Array, "source layer node"]:
    """Returns net(z(x)) - net(z(x')), the target being x's gold answer in both."""
    return answers.net(contributions[None] - source_contributions, gold)


def total_effect(
    answer_logits: Float[Array, " choice"],
    patched_logits: Float[Array, "*patch choice"],
    gold: Int[Array, ""],
) -> Float[Array, "*patch"]:
    """Returns clean minus patched net logit."""
    clean = jnp.broadcast_to(answer_logits, patched_logits.shape)
    return answers.net(
        clean.astype(jnp.float32) - patched_logits.astype(jnp.float32), gold
    )


def loss_effect(
    clean: tuple[Float[Array, " choice"], Float[Array, ""]],
    patched: tuple[Float[Array, "*patch choice"], Float[Array, "*patch"]],
    gold: Int[Array, ""],
) -> answers.LossParts:
    """Returns patched minus clean loss, with its two parts.

    Args:
      clean: answer logits, and the log-normaliser of the whole vocabulary.
      patched: the same of the patched runs.
    """
    before = answers.loss_parts(*clean, gold)
    after = answers.loss_parts(*patched, gold)
    outside = after.outside - before.outside
    inside = after.inside - before.inside
    return answers.LossParts(total=outside + inside, outside=outside, inside=inside)


def accuracy_drop(
    answer_logits: Float[Array, " choice"],
    patched_logits: Float[Array, "*patch choice"],
    gold: Int[Array, ""],
) -> Float[Array, "*patch"]:
    """Returns 1 where the patch turns a right answer wrong, -1 the other way round."""
    before = answers.is_correct(answer_logits, gold).astype(jnp.float32)
    return before - answers.is_correct(patched_logits, gold).astype(jnp.float32)
