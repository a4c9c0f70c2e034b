"""TransformerLens 4: `generic_activation_patch` over rows at the last position.

As its documentation does it: a TransformerBridge, a clean cache, the helper's own patch
setters. One forward pass per cell, with the logits of all positions, always.
"""

import functools

import numpy as np
import pandas as pd
import torch
from transformer_lens import patching
from transformer_lens.model_bridge import TransformerBridge

from benchmarks.peers.models import some_tokenizer
from benchmarks.peers.task import Contender, Task
from mcq_jax.interventions import Node


def contender(task: Task) -> Contender:
    """A few cells of one prompt."""
    bridge = _bridge(task)
    ids, source_ids = (torch.from_numpy(a[:1]) for a in (task.ids, task.source_ids))
    answers = torch.from_numpy(task.answer_ids[0]).tolist()
    with torch.inference_mode():
        _, cache = bridge.run_with_cache(source_ids)
    last = ids.shape[1] - 1
    metrics = {
        str(index): functools.partial(_logit, token=token)
        for index, token in enumerate(answers)
    }

    def patched(node: Node):
        site, setter, index = _cell(node, last)
        found = patching.generic_activation_patch(
            bridge, ids, cache, metrics, setter, site, index_df=pd.DataFrame([index])
        )
        return found.values[:, 0]

    @torch.inference_mode()
    def sweep() -> np.ndarray:
        return torch.stack([patched(node) for node in task.some_nodes()])[None].numpy()

    return Contender(
        name="TransformerLens",
        sweep=sweep,
        nodes=task.some_nodes(),
        prompts=1,
        rival="use",
    )


def _cell(node: Node, last: int):
    """The helper's site, setter and index of a node's output at the last position."""
    index = {"layer": node.layer, "pos": last}
    if node.head is None:
        return "mlp_out", patching.layer_pos_patch_setter, index
    index["head"] = node.head
    return "z", patching.layer_pos_head_vector_patch_setter, index


def _logit(logits, *, token: int):
    return logits[0, -1, token]


def _bridge(task: Task) -> TransformerBridge:
    bridge = TransformerBridge.boot_transformers(
        task.twins.name,
        hf_model=task.torch_twin(),
        tokenizer=some_tokenizer(),
        device="cpu",
    )
    bridge.eval()
    return bridge
