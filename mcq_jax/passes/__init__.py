"""Ways through the model: each prompt once, patched rows from where they change."""

from mcq_jax.checked_calls import check_calls
from mcq_jax.passes.anatomy import (
    Anatomy,
    Keys,
    Readout,
    answer_readout,
    contributions,
    dissect,
)
from mcq_jax.passes.answers import answer_prompts, read_answers
from mcq_jax.passes.compensation import Compensation, compensate
from mcq_jax.passes.continuations import continuation_logprobs
from mcq_jax.passes.edit_rows import EditRows
from mcq_jax.passes.full_pass import run_fully, see_fully
from mcq_jax.passes.head_captures import attention_weights
from mcq_jax.passes.head_views import Frame, SeenByHeads, seen_by_heads
from mcq_jax.passes.node_sets import NodeSets
from mcq_jax.passes.patches import Patches
from mcq_jax.passes.plan import Held, Plan
from mcq_jax.passes.prompt_pass import Prefill, prefill
from mcq_jax.passes.received import attention_received
from mcq_jax.passes.resumed_edits import EditedRows, resume_edited
from mcq_jax.passes.resumed_pass import Resumed, resume
from mcq_jax.passes.shared_prefix import Prefix, run_prefix
from mcq_jax.passes.stand_ins import (
    StandIns,
    check_frame,
    seen_in_pass,
    stand_in_edits,
)
from mcq_jax.passes.subspace_edits import Part, subspace_edit
from mcq_jax.passes.subspace_rows import Kept, subspace_edits
from mcq_jax.passes.subspaces import Subspaces
from mcq_jax.passes.unit_sets import UnitSets

__all__ = [
    "EditRows",
    "Held",
    "Anatomy",
    "Compensation",
    "EditedRows",
    "Frame",
    "Kept",
    "Keys",
    "NodeSets",
    "Part",
    "Patches",
    "Plan",
    "Prefill",
    "Prefix",
    "Readout",
    "Resumed",
    "SeenByHeads",
    "StandIns",
    "Subspaces",
    "UnitSets",
    "answer_prompts",
    "answer_readout",
    "attention_weights",
    "check_frame",
    "continuation_logprobs",
    "attention_received",
    "compensate",
    "contributions",
    "dissect",
    "prefill",
    "read_answers",
    "resume",
    "resume_edited",
    "run_fully",
    "run_prefix",
    "see_fully",
    "seen_by_heads",
    "seen_in_pass",
    "stand_in_edits",
    "subspace_edit",
    "subspace_edits",
]

check_calls(__name__)
