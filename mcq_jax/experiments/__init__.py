"""Experiments run models and end in findings; `pipeline` runs a card's list of them.

One file per experiment, and one line each in this list.
"""

from mcq_jax.checked_calls import check_calls
from mcq_jax.experiments.behaviour import Behaviour
from mcq_jax.experiments.cloze import Cloze
from mcq_jax.experiments.config import USUAL, RunConfig
from mcq_jax.experiments.content_route import ContentRoute
from mcq_jax.experiments.decide_then_bind import DecideThenBind
from mcq_jax.experiments.drawn_circuit import DrawnCircuit
from mcq_jax.experiments.earlier_positions import EarlierPositions
from mcq_jax.experiments.elsewhere import Elsewhere
from mcq_jax.experiments.experiment import Experiment
from mcq_jax.experiments.feed_forward import FeedForward
from mcq_jax.experiments.grid_contrasts import Contrast
from mcq_jax.experiments.head_classes import HeadClasses
from mcq_jax.experiments.head_kinds import HeadKinds
from mcq_jax.experiments.joint_tests import JointTests
from mcq_jax.experiments.lab import Lab
from mcq_jax.experiments.ladder import Ladder
from mcq_jax.experiments.learned_subspaces import LearnedSubspaces
from mcq_jax.experiments.mutation_grid import MutationGrid
from mcq_jax.experiments.node_effects import NodeEffects
from mcq_jax.experiments.paper_claims import PaperClaims
from mcq_jax.experiments.pipeline import run
from mcq_jax.experiments.planted_truth import PlantedTruth
from mcq_jax.experiments.progress import Progress
from mcq_jax.experiments.prompt_options import Mutated, PromptOptions
from mcq_jax.experiments.query_swaps import QuerySwaps
from mcq_jax.experiments.routes import Routes
from mcq_jax.experiments.score_parts import ScoreParts
from mcq_jax.experiments.self_repair import SelfRepair
from mcq_jax.experiments.transfer import Transfer

EXPERIMENTS: tuple[type[Experiment], ...] = (
    Behaviour,
    Cloze,
    NodeEffects,
    JointTests,
    FeedForward,
    HeadClasses,
    HeadKinds,
    Routes,
    QuerySwaps,
    Ladder,
    SelfRepair,
    Elsewhere,
    Transfer,
    MutationGrid,
    ScoreParts,
    LearnedSubspaces,
    DecideThenBind,
    ContentRoute,
    DrawnCircuit,
    EarlierPositions,
    PlantedTruth,
    PaperClaims,
)

__all__ = [
    "EXPERIMENTS",
    "USUAL",
    "Behaviour",
    "ContentRoute",
    "Cloze",
    "Contrast",
    "DecideThenBind",
    "DrawnCircuit",
    "ScoreParts",
    "EarlierPositions",
    "Elsewhere",
    "Experiment",
    "FeedForward",
    "HeadClasses",
    "HeadKinds",
    "JointTests",
    "Lab",
    "Ladder",
    "Mutated",
    "MutationGrid",
    "LearnedSubspaces",
    "NodeEffects",
    "PaperClaims",
    "PlantedTruth",
    "Progress",
    "PromptOptions",
    "QuerySwaps",
    "Routes",
    "RunConfig",
    "SelfRepair",
    "Transfer",
    "run",
]

check_calls(__name__)
