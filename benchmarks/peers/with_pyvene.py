"""pyvene: an `IntervenableModel` per patch, as its documentation does it.

`sources` are run inside each call: two forward passes per patch, with the logits of
all positions, always.
"""

import pyvene
import torch

from benchmarks.peers.task import Contender, Task
from mcq_jax.interventions import Node


def contender(task: Task) -> Contender:
    """A few patches of one prompt."""
    model, nodes = task.torch_twin(), task.some_nodes()
    # Its table of Qwen2 reads this, which the family's config lacks.
    model.config.head_dim = task.twins.config.head_width
    ids, source_ids = (torch.from_numpy(a[:1]) for a in (task.ids, task.source_ids))
    answers = torch.from_numpy(task.answer_ids[0])
    intervenable = {node: _intervenable(model, node) for node in nodes}
    last = ids.shape[1] - 1

    def patched(node: Node):
        place = last
        if node.head is not None:
            heads_and_positions = [[[[node.head]], [[last]]]]
            place = (heads_and_positions, heads_and_positions)
        _, output = intervenable[node](
            {"input_ids": ids},
            [{"input_ids": source_ids}],
            {"sources->base": place},
        )
        return output.logits[0, -1, answers]

    @torch.inference_mode()
    def sweep():
        return torch.stack([patched(node) for node in nodes])[None].numpy()

    return Contender(name="pyvene", sweep=sweep, nodes=nodes, prompts=1, rival="use")


def _intervenable(model, node: Node) -> pyvene.IntervenableModel:
    place = (
        {"component": "mlp_output", "unit": "pos"}
        if node.head is None
        else {"component": "head_attention_value_output", "unit": "h.pos"}
    )
    config = pyvene.IntervenableConfig(
        {
            "layer": node.layer,
            **place,
            "intervention_type": pyvene.VanillaIntervention,
        }
    )
    return pyvene.IntervenableModel(config, model=model)
