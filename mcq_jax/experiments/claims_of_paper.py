"""What the paper says: its claims in our words, each with where it is read.

Lieberum et al. 2023, arXiv 2307.09458. Sources, surest first: "abstract" and "authors'
post" are the authors' own words; "described" is what others write of the paper.
"""

import dataclasses
from collections.abc import Callable

from mcq_jax.experiments import claim_readings
from mcq_jax.experiments.claim_readings import Reading
from mcq_jax.results import RunResults


@dataclasses.dataclass(frozen=True, kw_only=True)
class PaperClaim:
    """One claim: our words, its source, what would count against it, its number."""

    # Also the name of its band in `PaperClaims`.
    name: str
    text: str
    source: str
    against: str
    read: Callable[[RunResults], Reading]


CLAIMS: tuple[PaperClaim, ...] = (
    PaperClaim(
        name="few_nodes",
        text="A small part of all nodes holds most of the direct effect.",
        source="described: 45 of 5,200 nodes",
        against="A share of nodes beyond the band.",
        read=claim_readings.few_nodes,
    ),
    PaperClaim(
        name="joint",
        text="Patched together, these nodes restore most of the effect.",
        source="described (section 3.1)",
        against="Half of it or less on held-out questions, or as much by random sets.",
        read=claim_readings.joint,
    ),
    PaperClaim(
        name="upstream",
        text="Some heads act through later ones: a large total effect beside a small "
        "direct one.",
        source="described (section 3.1, appendix B: L24H18)",
        against="No such head, or as much with sources of the same letter.",
        read=claim_readings.upstream,
    ),
    PaperClaim(
        name="classes",
        text="Heads fall into classes by where they look: correct letter, single "
        "letter, uniform, amplifier.",
        source="described (section 3.2, appendix E)",
        against="A class without a head.",
        read=claim_readings.classes,
    ),
    PaperClaim(
        name="letter_specific",
        text="Some heads look at one letter if it is the right one, and at no other.",
        source="authors' post",
        against="No such head beyond what permuted golds give by chance.",
        read=claim_readings.letter_specific,
    ),
    PaperClaim(
        name="place",
        text="Correct-letter heads ask for the N-th item of the list.",
        source="abstract (section 4)",
        against="Choices that do not follow the source's place where it has no letter "
        "in common with the base.",
        read=claim_readings.place,
    ),
    PaperClaim(
        name="identity",
        text="They ask for the letter itself as well: features are a mix of both.",
        source="abstract (section 4.2)",
        against="Choices that do not follow the source's letter where it stands on "
        "another line than its place.",
        read=claim_readings.identity,
    ),
    PaperClaim(
        name="rank_three",
        text="Three dimensions of queries and label keys do nearly all of it.",
        source="abstract, authors' post (section 4.1)",
        against="Less than most comes back with all heads in three dimensions at once.",
        read=claim_readings.rank_three,
    ),
    PaperClaim(
        name="value_letter",
        text="Values carry which letter to write.",
        source="described (section 4.1)",
        against="Values by their letter bring back little, or no more than by place.",
        read=claim_readings.value_letter,
    ),
    PaperClaim(
        name="pseudocode",
        text="A head in pseudocode, place and letter, does much of it, not all.",
        source="described (pseudocode of section 4), abstract",
        against="Place and letter alone bring back all of it, or next to nothing.",
        read=claim_readings.pseudocode,
    ),
    PaperClaim(
        name="separators",
        text="The dimensions found on plain prompts serve when separators change.",
        source="described (section 4.2, figure 11)",
        against="They bring back less than most of what these heads do there.",
        read=claim_readings.separators,
    ),
    PaperClaim(
        name="random_letters",
        text="With random letters they serve in part.",
        source="described (section 4.2, figure 11), abstract",
        against="They bring back all of it there, or next to nothing.",
        read=claim_readings.random_letters,
    ),
    PaperClaim(
        name="numbers",
        text="With numbers they largely fail.",
        source="described (section 4.2, figure 11)",
        against="They bring back half of it there, or more.",
        read=claim_readings.numbers,
    ),
)
