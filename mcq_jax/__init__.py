"""Finds how a language model turns a known answer into a letter, in JAX.

The names below are the ones most programs need; each room has more. They are looked
up on first use, so that `import mcq_jax` itself loads nothing heavy.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcq_jax.checkpoints import Checkpoint, load
    from mcq_jax.costs import keep_compiled_programs
    from mcq_jax.interventions import Capture, Edit, Node, Site
    from mcq_jax.model import ModelConfig, Output, Parameters, forward
    from mcq_jax.prompts import Question, TokenBatch

__all__ = [
    "Capture",
    "Checkpoint",
    "Edit",
    "ModelConfig",
    "Node",
    "Output",
    "Parameters",
    "Question",
    "Site",
    "TokenBatch",
    "forward",
    "keep_compiled_programs",
    "load",
]

_ROOMS = {
    "mcq_jax.checkpoints": ("Checkpoint", "load"),
    "mcq_jax.costs": ("keep_compiled_programs",),
    "mcq_jax.interventions": ("Capture", "Edit", "Node", "Site"),
    "mcq_jax.model": ("ModelConfig", "Output", "Parameters", "forward"),
    "mcq_jax.prompts": ("Question", "TokenBatch"),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'mcq_jax' has no attribute {name!r}")
    value = getattr(importlib.import_module(_ROOM_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
