"""What one prompt's answer logits say: net logit, loss in two parts, mass, distance.

Every function is written for one prompt; `jax.vmap` takes it over prompts. Leading
axes of the logits (kinds of source, layers, nodes) pass through, since a patched
prompt has one set of answer logits per patch. All of it runs in float32.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class LossParts:
    """-log P(gold), exactly split: total = outside + inside."""

    total: Float[Array, "*patch"]  # -log P(gold) over the whole vocabulary
    outside: Float[Array, "*patch"]  # -log P(answer set): is it a letter at all
    inside: Float[Array, "*patch"]  # -log P(gold | answer set): is it the right one


def centred(
    answer_logits: Float[Array, "*patch choice"],
) -> Float[Array, "*patch choice"]:
    """Returns the logits minus their mean over the answer set."""
    logits = answer_logits.astype(jnp.float32)
    return logits - logits.mean(axis=-1, keepdims=True)


def net(
    answer_logits: Float[Array, "*patch choice"], gold: Int[Array, ""]
) -> Float[Array, "*patch"]:
    """Returns the gold logit minus the mean of the *other* answers' logits.

    The mean leaves the gold answer out, so that the value compares across numbers of
    options. Linear in the logits: it applies to contributions just as well.
    """
    choices = answer_logits.shape[-1]
    if choices < 2:
        raise ValueError(
            f"The net logit needs at least 2 answers; found {choices}. Give every "
            "prompt another answer to compare the gold one with."
        )
    # gold - mean(all) is (n - 1) / n of gold - mean(others); centring first keeps
    # digits where all logits share a large offset.
    return jnp.take(centred(answer_logits), gold, axis=-1) * (choices / (choices - 1))


def net_of_set(
    answer_logits: Float[Array, "*patch choice"], right: Bool[Array, " choice"]
) -> Float[Array, "*patch"]:
    """Returns the mean logit of the right answers minus that of the others.

    For prompts with several right options; `net` where one is right. Linear as well.
    NaN where all answers are right or none is, which rendering refuses.
    """
    is_right = right.astype(jnp.float32)
    share = is_right / is_right.sum() - (1 - is_right) / (1 - is_right).sum()
    return jnp.einsum("...c,c->...", centred(answer_logits), share, precision="highest")


def loss_parts(
    answer_logits: Float[Array, "*patch choice"],
    log_normaliser: Float[Array, "*patch"],
    gold: Int[Array, ""],
) -> LossParts:
    """Returns -log P(gold) and its two parts.

    Args:
      log_normaliser: log-sum-exp of the logits of the whole vocabulary.
    """
    logits = answer_logits.astype(jnp.float32)
    log_answer_set = jax.nn.logsumexp(logits, axis=-1)
    outside = log_normaliser.astype(jnp.float32) - log_answer_set
    inside = log_answer_set - jnp.take(logits, gold, axis=-1)
    return LossParts(total=outside + inside, outside=outside, inside=inside)


def answer_mass(
    answer_logits: Float[Array, "*patch choice"], log_normaliser: Float[Array, "*patch"]
) -> Float[Array, "*patch"]:
    """Returns the probability that the next token is any of the answers."""
    log_answer_set = jax.nn.logsumexp(answer_logits.astype(jnp.float32), axis=-1)
    return jnp.exp(log_answer_set - log_normaliser.astype(jnp.float32))


def kl(
    clean_answer_logits: Float[Array, " choice"],
    patched_answer_logits: Float[Array, "*patch choice"],
) -> Float[Array, "*patch"]:
    """Returns KL(clean || patched) of the distributions *within* the answer set."""
    clean = jax.nn.log_softmax(clean_answer_logits.astype(jnp.float32))
    patched = jax.nn.log_softmax(patched_answer_logits.astype(jnp.float32), axis=-1)
    clean = jnp.broadcast_to(clean, patched.shape)
    return (jnp.exp(clean) * (clean - patched)).sum(axis=-1)


def is_correct(
    answer_logits: Float[Array, "*patch choice"], gold: Int[Array, ""]
) -> Bool[Array, "*patch"]:
    """Says whether the gold logit is strictly above every other answer's.

    A tie is not an answer: with argmax, a model that says nothing would be right
    whenever the gold answer is the first.
    """
    logits = answer_logits.astype(jnp.float32)
    right = jnp.take(logits, gold, axis=-1)[..., None]
    is_other = jnp.arange(logits.shape[-1]) != gold
    others = jnp.broadcast_to(is_other, logits.shape)
    return ((logits < right) | ~others).all(axis=-1)
