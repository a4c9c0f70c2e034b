"""The paper's claims, each held against what this run found.

No model is run: every number is another experiment's, and a claim whose experiment was
not run is not testable here. The bands that support a claim are options, fixed in the
run card before anything is looked at.
"""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mcq_jax.experiments.about import about
from mcq_jax.experiments.claim_readings import Reading
from mcq_jax.experiments.claims_of_paper import CLAIMS, PaperClaim
from mcq_jax.experiments.experiment import Experiment
from mcq_jax.results import (
    UNTESTABLE,
    ClaimFound,
    PaperClaimsFindings,
    RunResults,
    Storage,
    key_of,
    status_of,
)

if TYPE_CHECKING:
    from mcq_jax.experiments.lab import Lab

# Lower and upper end of the values that support a claim; None: no bound.
Band = tuple[float | None, float | None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PaperClaims(Experiment):
    """Judges every claim by its interval, its control and its band."""

    name = "paper_claims"
    version = 2  # what is recovered under a mutation is beside the same without
    findings = PaperClaimsFindings
    uses = (
        "behaviour",
        "node_effects",
        "joint_tests",
        "head_classes",
        "head_kinds",
        "routes",
        "query_swaps",
        "ladder",
        "mutation_grid",
    )
    # A closed gate is an answer, too.
    explains = False

    # Folder of a run of the same card on other questions (another seed).
    fresh: str | None = None
    # Share of all nodes that are chosen.
    few_nodes: Band = (None, 0.05)
    # Held-out recovery of the set.
    joint: Band = (0.5, None)
    # Total effect, as a share of D, of a head whose direct effect is small.
    upstream: Band = (0.05, None)
    # How many of the paper's four classes have a head.
    classes: Band = (4, None)
    # How many heads look at some letters only.
    letter_specific: Band = (1, None)
    # Follow-D of the place without a letter in common, and of the letter.
    place: Band = (0.5, None)
    identity: Band = (0.1, None)
    # What comes back between these heads at their mean and as they are: with queries
    # and keys in three dimensions, values by letter, all by place and letter.
    rank_three: Band = (0.8, None)
    value_letter: Band = (0.5, None)
    pseudocode: Band = (0.2, 0.9)
    # The same with the dimensions of plain prompts, under mutations.
    separators: Band = (0.8, None)
    random_letters: Band = (0.1, 0.9)
    numbers: Band = (None, 0.5)

    def key(self, study: Any, needed: Sequence[str]) -> str:
        fresh = self._fresh()
        read = [] if fresh is None else [one.key for one in fresh.records.values()]
        return key_of({"claims": super().key(study, needed), "fresh": read})

    def run(self, lab: "Lab") -> PaperClaimsFindings:
        return PaperClaimsFindings(
            claims=judged(self, lab.results(about(lab)), self._fresh()),
            fresh=self.fresh or "",
        )

    def _fresh(self) -> RunResults | None:
        """Findings on other questions; None if no run has begun there."""
        if self.fresh is None:
            return None
        try:
            return RunResults.read(Storage.at(self.fresh))
        except FileNotFoundError:
            return None


def judged(
    bands: PaperClaims, found: RunResults, fresh: RunResults | None = None
) -> tuple[ClaimFound, ...]:
    """Holds every claim against a run's findings.

    Args:
        fresh: the same of other questions, which stands beside and decides nothing.
    """
    return tuple(_judge(claim, bands, found, fresh) for claim in CLAIMS)


def _judge(
    claim: PaperClaim, bands: PaperClaims, found: RunResults, fresh: RunResults | None
) -> ClaimFound:
    low, high = getattr(bands, claim.name)
    reading = _read(claim, found)
    status, why = UNTESTABLE, reading.missing
    if reading.estimate is not None:
        status = status_of(reading.estimate, low, high, reading.control)
        why = reading.of
    return ClaimFound(
        name=claim.name,
        text=claim.text,
        source=claim.source,
        against=claim.against,
        status=status,
        why=why,
        low=low,
        high=high,
        estimate=reading.estimate,
        control=reading.control,
        control_name=reading.control_name if reading.control else "",
        fresh=None if fresh is None else _read(claim, fresh).estimate,
        share=reading.share,
    )


def _read(claim: PaperClaim, run: RunResults) -> Reading:
    """The claim's number; behind a closed gate there is none."""
    if run.behaviour is not None and not run.behaviour.gate.open:
        return Reading(missing=f"the gate is closed: {run.behaviour.gate.reason}")
    return claim.read(run)
