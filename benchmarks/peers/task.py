"""What every contender is given, and what it gives back."""

import copy
import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Int

from benchmarks.peers.models import Twins
from mcq_jax.interventions import Node, all_nodes


@dataclasses.dataclass(frozen=True)
class Task:
    """Patch every head and MLP at the answer position, from one source per prompt."""

    twins: Twins
    # Prompts of one length, the answer position being the last.
    ids: Int[np.ndarray, "prompt position"]
    source_ids: Int[np.ndarray, "prompt position"]
    answer_ids: Int[np.ndarray, "prompt choice"]

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The rows, in the order of `sweeps.every_node`."""
        return all_nodes(self.twins.config.layers, self.twins.config.heads)

    @property
    def lengths(self) -> Int[np.ndarray, " prompt"]:
        return np.full(len(self.ids), self.ids.shape[1])

    def some_nodes(self) -> tuple[Node, ...]:
        """A head and an MLP, for contenders that pay the same for every node."""
        layers, heads = self.twins.config.layers, self.twins.config.heads
        return Node(layers // 3, heads // 2), Node(2 * layers // 3)

    def middle_layer(self) -> tuple[Node, ...]:
        """All nodes of one layer, for contenders that batch them."""
        middle = self.twins.config.layers // 2
        return tuple(node for node in self.nodes if node.layer == middle)

    def torch_twin(self):
        """A `transformers` model to wrap and alter, with the same weights in memory."""
        model = self.twins.torch_model
        return copy.deepcopy(model, {id(p): p for p in model.parameters()})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contender:
    """One way to run the sweep, or a part of it that stands for the whole."""

    name: str
    # Returns patched answer logits of the first prompts and of `nodes`.
    sweep: Callable[[], Float[np.ndarray, "prompt node choice"]]
    nodes: Sequence[Node]
    # How many of the task's prompts a call of `sweep` runs.
    prompts: int
    # The prompts' own pass, where the sweep starts from one.
    prompt_pass: Callable[[], object] | None = None
    # Its row in the table is one of the two headlines: "use" or "best".
    rival: str | None = None

    def scale(self, task: Task) -> float:
        """How many calls of `sweep` the whole task takes."""
        return len(task.ids) * len(task.nodes) / (self.prompts * len(self.nodes))
