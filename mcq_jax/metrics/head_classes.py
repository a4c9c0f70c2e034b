"""Sorts heads by where they look from the answer position and what they write there.

`head_evidence` measures; here are the frozen thresholds, the rules and their order.
Attention decides where a head looks, OV on the *answer* ids what it writes;
neither alone makes a correct-letter head.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from mcq_jax.metrics.head_evidence import HeadEvidence

# Where several rules hold, the first one names the class. Negative comes first because
# a head that reads the right letter and writes against it is no correct-letter head;
# single letter before letter specific, so that a bias with a bonus for its own letter
# (proto) stays a bias; rules about labels before rules about anything else.
PRECEDENCE = (
    "negative",
    "correct_letter",
    "single_letter",
    "letter_specific",
    "uniform",
    "amplifier",
    "content_gatherer",
    "late",
    "other",
)


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """Fixed before looking at results; stated in every run's config."""

    # Least share of value-weighted attention on label tokens, for all label classes.
    label_mass: float = 0.2
    # Least s of a letter that a head follows (0.25 on it at chance, about 0.45 then).
    follows_letter: float = 0.2
    # Its share when gold is also at least this many times its share when not.
    diagonal_ratio: float = 2.0
    # Least share of one letter, whatever is gold, for a single-letter head.
    single_letter: float = 0.6
    # Least entropy of the label shares over log(choices), whatever is gold.
    uniform_entropy: float = 0.9
    # Effects and OV count from this share of the total net(x) - net(x') on.
    effect_share: float = 0.02
    # Least fall of its direct effect when correct-letter heads are resampled.
    amplifier_fall: float = 0.5
    # Least share of attention on the right option's content ...
    content_mass: float = 0.1
    # ... and at least this many times the mean wrong option's.
    content_ratio: float = 2.0
    # Least share of attention on the prompt's last tokens.
    late_mass: float = 0.6


@dataclass(frozen=True, kw_only=True)
class HeadClass:
    """One head's class and what led to it."""

    layer: int
    head: int
    name: str  # one of PRECEDENCE
    also: tuple[str, ...]  # later classes whose rules hold too
    letters: tuple[int, ...]  # those it follows or, for a single-letter head, prefers
    label_mass: float
    follows: tuple[float, ...]  # s, one per letter
    ov_margin: float
    direct_effect: float


def classify_heads(
    found: HeadEvidence, thresholds: Thresholds | None = None
) -> tuple[HeadClass, ...]:
    """Returns the class of every head, layer by layer."""
    matches = rules(found, thresholds or Thresholds())
    layers, heads = found.label_mass.shape
    return tuple(
        _head_class(found, matches, layer, head, thresholds or Thresholds())
        for layer in range(layers)
        for head in range(heads)
    )


def rules(
    found: HeadEvidence, limits: Thresholds
) -> dict[str, Bool[np.ndarray, "layer head"]]:
    """Returns for each class which heads obey its rule, before precedence."""
    labelled = found.label_mass >= limits.label_mass
    effect = found.direct_effect / found.total_difference
    writes = found.ov_margin / found.total_difference
    follows = labelled[..., None] & _follows(found, limits)
    share = found.label_share
    single = labelled & (share.min(axis=0) >= limits.single_letter).any(axis=-1)
    even = labelled & (_entropy(share).min(axis=0) >= limits.uniform_entropy)
    against = follows.any(axis=-1) & (writes <= -limits.effect_share)
    copies = writes >= limits.effect_share
    nowhere = np.zeros(labelled.shape, bool)
    return {
        "negative": against | (effect <= -limits.effect_share),
        "correct_letter": follows.all(axis=-1) & copies,
        "single_letter": single,
        "letter_specific": follows.any(axis=-1) & ~follows.all(axis=-1) & copies,
        "uniform": even,
        "amplifier": _is_amplifier(found, limits, nowhere)
        & (effect >= limits.effect_share),
        "content_gatherer": _is_gatherer(found, limits, nowhere)
        & (abs(effect) < limits.effect_share),
        "late": nowhere
        if found.late_mass is None
        else (found.late_mass >= limits.late_mass) & (effect >= limits.effect_share),
        "other": ~nowhere,
    }


def _follows(found: HeadEvidence, limits: Thresholds) -> np.ndarray:
    """Says which letters each head attends more when they are right."""
    diagonal = np.einsum("c...c->...c", found.label_share)
    others = diagonal - found.follows
    clear = diagonal >= limits.diagonal_ratio * others
    return clear & (found.follows >= limits.follows_letter)


def _entropy(share: np.ndarray) -> np.ndarray:
    """Returns the entropy over the last axis relative to that of even shares."""
    logs = np.log(np.where(share > 0, share, 1.0))
    return -(share * logs).sum(axis=-1) / np.log(share.shape[-1])


def _is_amplifier(
    found: HeadEvidence, limits: Thresholds, nowhere: np.ndarray
) -> np.ndarray:
    if found.resampled_direct_effect is None:
        return nowhere
    fall = found.direct_effect - found.resampled_direct_effect
    return fall >= limits.amplifier_fall * found.direct_effect


def _is_gatherer(
    found: HeadEvidence, limits: Thresholds, nowhere: np.ndarray
) -> np.ndarray:
    if found.content_share is None:
        return nowhere
    right, wrong = np.moveaxis(found.content_share, -1, 0)
    return (right >= limits.content_mass) & (right >= limits.content_ratio * wrong)


def _head_class(
    found: HeadEvidence,
    matches: dict[str, np.ndarray],
    layer: int,
    head: int,
    limits: Thresholds,
) -> HeadClass:
    holds = [name for name in PRECEDENCE if matches[name][layer, head]]
    if holds[0] == "single_letter":
        named = [int(found.label_share[:, layer, head].min(axis=0).argmax())]
    else:
        named = np.flatnonzero(_follows(found, limits)[layer, head]).tolist()
    labelled = found.label_mass[layer, head] >= limits.label_mass
    return HeadClass(
        layer=layer,
        head=head,
        name=holds[0],
        also=tuple(name for name in holds[1:] if name != "other"),
        letters=tuple(named) if labelled else (),
        label_mass=float(found.label_mass[layer, head]),
        follows=tuple(found.follows[layer, head].tolist()),
        ov_margin=float(found.ov_margin[layer, head]),
        direct_effect=float(found.direct_effect[layer, head]),
    )
