"""What we measure: pure functions of logits and activations, no model inside.

One prompt at a time, in JAX: `answers`, `contributions`, `effects`, `attention`.
Over prompts, in numpy, the question being the unit: all others.
"""

from mcq_jax.checked_calls import check_calls
from mcq_jax.metrics.additive_means import additive_means, subspace_overlap
from mcq_jax.metrics.answers import (
    LossParts,
    answer_mass,
    centred,
    is_correct,
    kl,
    loss_parts,
    net,
    net_of_set,
)
from mcq_jax.metrics.attention import (
    share_by_class,
    share_by_option,
    share_on_labels,
    value_output_norms,
    value_weighted_attention,
)
from mcq_jax.metrics.behaviour import (
    Behaviour,
    kept_questions,
    measure_behaviour,
    nets,
    predictions,
)
from mcq_jax.metrics.contrasts import Ratio, paired_difference
from mcq_jax.metrics.contributions import (
    Contributions,
    answer_directions,
    conservation_error,
    node_contributions,
)
from mcq_jax.metrics.effects import (
    NodeEffects,
    accuracy_drop,
    direct_effect,
    loss_effect,
    node_effects,
    total_effect,
)
from mcq_jax.metrics.enumerators import (
    EnumeratorAttention,
    enumerator_attention,
    group_percentile,
    percentiles,
)
from mcq_jax.metrics.follow_d import FEWEST, FollowD, follow_d, share_two_way
from mcq_jax.metrics.following import Following, following
from mcq_jax.metrics.gating import Gate, gate, gate_of_pairs
from mcq_jax.metrics.head_classes import (
    PRECEDENCE,
    HeadClass,
    Thresholds,
    classify_heads,
)
from mcq_jax.metrics.head_evidence import (
    HeadEvidence,
    followed_letters,
    head_evidence,
    ov_margin,
    proto_index,
)
from mcq_jax.metrics.letters import (
    Readings,
    gold_by_answer,
    gold_by_letter,
    letter_prior,
    readings,
    selectivity,
    selectivity_of_sets,
)
from mcq_jax.metrics.overlap import Overlap, overlap
from mcq_jax.metrics.probes import (
    Probed,
    control_classes,
    probe_classes,
    probe_lines,
    probed,
)
from mcq_jax.metrics.recovery import Recovery, necessity, sufficiency
from mcq_jax.metrics.regression import Line, line
from mcq_jax.metrics.score_parts import ScoreParts, score_parts
from mcq_jax.metrics.score_subspaces import (
    score_lost,
    score_optimal,
    score_spectrum,
)
from mcq_jax.metrics.selection import (
    NodeIndex,
    RandomSet,
    Selection,
    cumulative_sets,
    next_best,
    node_mask,
    random_sets,
    rank,
    select,
)
from mcq_jax.metrics.significance import (
    max_statistic_p,
    sign_flip_p,
)
from mcq_jax.metrics.splits import split_by_question, split_by_subject
from mcq_jax.metrics.statistics import (
    Interval,
    Intervals,
    interval,
    intervals,
    question_sums,
    ratio_interval,
)
from mcq_jax.metrics.subspaces import (
    Basis,
    class_means,
    contrastive_covariance,
    feature_direction,
    random_directions,
    rank_for,
    singular_vectors,
    vector_gates,
    with_directions,
)

__all__ = [
    "FEWEST",
    "Probed",
    "control_classes",
    "probe_classes",
    "probe_lines",
    "probed",
    "accuracy_drop",
    "additive_means",
    "answer_directions",
    "answer_mass",
    "Basis",
    "Behaviour",
    "centred",
    "class_means",
    "classify_heads",
    "conservation_error",
    "contrastive_covariance",
    "Contributions",
    "cumulative_sets",
    "direct_effect",
    "enumerator_attention",
    "EnumeratorAttention",
    "feature_direction",
    "follow_d",
    "FollowD",
    "followed_letters",
    "Following",
    "following",
    "Gate",
    "gate",
    "gate_of_pairs",
    "gold_by_answer",
    "gold_by_letter",
    "group_percentile",
    "head_evidence",
    "HeadClass",
    "HeadEvidence",
    "Interval",
    "interval",
    "Intervals",
    "intervals",
    "is_correct",
    "kept_questions",
    "kl",
    "letter_prior",
    "line",
    "Line",
    "loss_effect",
    "loss_parts",
    "LossParts",
    "max_statistic_p",
    "measure_behaviour",
    "necessity",
    "net",
    "net_of_set",
    "nets",
    "next_best",
    "node_contributions",
    "node_effects",
    "node_mask",
    "NodeEffects",
    "NodeIndex",
    "ov_margin",
    "overlap",
    "Overlap",
    "percentiles",
    "PRECEDENCE",
    "paired_difference",
    "predictions",
    "proto_index",
    "question_sums",
    "random_directions",
    "random_sets",
    "RandomSet",
    "rank",
    "rank_for",
    "Ratio",
    "ratio_interval",
    "Readings",
    "readings",
    "Recovery",
    "score_lost",
    "score_optimal",
    "score_parts",
    "score_spectrum",
    "ScoreParts",
    "select",
    "Selection",
    "selectivity",
    "selectivity_of_sets",
    "share_by_class",
    "share_by_option",
    "share_on_labels",
    "share_two_way",
    "sign_flip_p",
    "singular_vectors",
    "split_by_question",
    "split_by_subject",
    "subspace_overlap",
    "sufficiency",
    "Thresholds",
    "total_effect",
    "value_output_norms",
    "value_weighted_attention",
    "vector_gates",
    "with_directions",
]

check_calls(__name__)
