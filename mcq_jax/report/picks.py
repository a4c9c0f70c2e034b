"""Which nodes and sets the page speaks of, and in which order."""

import math

from mcq_jax.report import scales
from mcq_jax.results import JointFound, NodeFound, RunResults

TOP = 20


def main_kind(run: RunResults) -> str:
    """Returns the kind of source that node effects are ranked by: rotation, if any."""
    kinds = source_kinds(run)
    return "rotation" if "rotation" in kinds or not kinds else kinds[0]


def source_kinds(run: RunResults) -> tuple[str, ...]:
    """Returns the kinds of source that the run had, in the order they were given."""
    kinds = (kind for node in run.nodes for kind in node.direct)
    return tuple(dict.fromkeys(kinds))


def direct(node: NodeFound, kind: str) -> float:
    return _mean(node.direct.get(kind))


def total(node: NodeFound, kind: str) -> float:
    return _mean(node.total.get(kind))


def role(node: NodeFound) -> str:
    """Returns the class of a head; a feed-forward block has none but its kind."""
    return "feed_forward" if node.head < 0 else node.head_class or "other"


def top_nodes(run: RunResults, size: int = TOP) -> tuple[NodeFound, ...]:
    """Returns the nodes with the largest direct effect, of either sign.

    What has neither a direct nor a total effect is left out; in a planted model that is
    most nodes.
    """
    kind = main_kind(run)
    nothing = 1e-4 * scales.largest(direct(node, kind) for node in run.nodes)

    def sizes(node: NodeFound) -> tuple[float, float]:
        """Sizes above rounding, so that among nodes without one TE decides."""
        effects = abs(direct(node, kind)), abs(total(node, kind))
        first, second = (size if size > nothing else 0.0 for size in effects)
        return first, second

    known = [node for node in run.nodes if any(sizes(node))]
    return tuple(sorted(known, key=sizes, reverse=True)[:size])


def sets(run: RunResults, kind: str) -> tuple[JointFound, ...]:
    """Returns the sets of one kind that were patched as a whole, smallest first."""
    found = (joint for joint in run.sets if joint.kind == kind)
    return tuple(sorted(found, key=lambda joint: joint.size))


def at_size(run: RunResults, kind: str, size: int) -> JointFound | None:
    """Returns the set of one kind whose size is nearest to the one asked."""
    return min(sets(run, kind), key=lambda joint: abs(joint.size - size), default=None)


def has_nodes(run: RunResults) -> bool:
    """Whether anything may be said of nodes: only behind an open gate."""
    return bool(run.gate and run.gate.open and run.nodes)


def _mean(estimate) -> float:
    return math.nan if estimate is None else estimate.mean
