"""Plain torch forward hooks: one forward pass of `transformers` per patch."""

import torch

from benchmarks.peers.task import Contender, Task
from mcq_jax.interventions import Node


def contender(task: Task) -> Contender:
    """A few patches of one prompt; only the last position is unembedded."""
    model, nodes = task.twins.torch_model, task.some_nodes()
    ids, source_ids = (torch.from_numpy(a[:1]) for a in (task.ids, task.source_ids))
    answers = torch.from_numpy(task.answer_ids[0])
    width = task.twins.config.head_width
    held = {node: _read(model, source_ids, node, width) for node in nodes}

    @torch.inference_mode()
    def patched(node: Node):
        hook = _hook_on(model, node, width, lambda _: held[node])
        logits = model(ids, use_cache=False, logits_to_keep=1).logits
        hook.remove()
        return logits[0, -1, answers]

    return Contender(
        name="torch hooks",
        sweep=lambda: torch.stack([patched(node) for node in nodes])[None].numpy(),
        nodes=nodes,
        prompts=1,
        rival="use",
    )


@torch.inference_mode()
def _read(model, ids, node: Node, width: int):
    kept = []

    def keep(value):
        kept.append(value.clone())
        return value

    hook = _hook_on(model, node, width, keep)
    model(ids, use_cache=False, logits_to_keep=1)
    hook.remove()
    return kept[0]


def _hook_on(model, node: Node, width: int, change):
    """Calls `change` on what a node writes at the last position, and writes it back."""
    layer = model.model.layers[node.layer]
    if node.head is None:

        def after(module, inputs, output):
            output[:, -1] = change(output[:, -1])

        return layer.mlp.register_forward_hook(after)
    own = slice(node.head * width, (node.head + 1) * width)

    def before(module, inputs):
        inputs[0][:, -1, own] = change(inputs[0][:, -1, own])

    return layer.self_attn.o_proj.register_forward_pre_hook(before)
