"""nnsight: traces with the patch written in their body, as its documentation does it.

The source's activations are saved by one trace. Then one trace per patch, or one trace
with an invoke for each node of a layer: one forward pass over a batch of them.
"""

import nnsight
import torch
from nnsight.modeling.transformers import TransformersModel

from benchmarks.peers.models import some_tokenizer
from benchmarks.peers.task import Contender, Task


def contender(task: Task, *, together: bool) -> Contender:
    """A few patches of one prompt, by themselves or as invokes of one trace."""
    model = TransformersModel(task.torch_twin(), tokenizer=some_tokenizer())
    nodes = task.middle_layer() if together else task.some_nodes()
    width = task.twins.config.head_width
    ids, source_ids = (torch.from_numpy(a[:1]) for a in (task.ids, task.source_ids))
    answers = torch.from_numpy(task.answer_ids[0])

    def written(node):
        """What a node writes at the last position, as an envoy and an index."""
        layer = model.model.layers[node.layer]
        if node.head is None:
            return layer.mlp.output, (slice(None), -1)
        own = slice(node.head * width, (node.head + 1) * width)
        return layer.self_attn.o_proj.input, (slice(None), -1, own)

    with torch.inference_mode():
        with model.trace(source_ids):
            held = nnsight.save([])
            for node in nodes:
                value, index = written(node)
                held.append(value[index].clone())

    @torch.inference_mode()
    def one_by_one():
        found = []
        for node, source in zip(nodes, held, strict=True):
            with model.trace(ids, logits_to_keep=1):
                value, index = written(node)
                value[index] = source
                logits = model.lm_head.output[0, -1, answers].save()
            found.append(logits)
        return torch.stack(found)[None].numpy()

    @torch.inference_mode()
    def as_invokes():
        with model.trace(logits_to_keep=1) as tracer:
            found = nnsight.save([])
            for node, source in zip(nodes, held, strict=True):
                with tracer.invoke(ids):
                    value, index = written(node)
                    value[index] = source
                    found.append(model.lm_head.output[0, -1, answers])
        return torch.stack(found)[None].numpy()

    return Contender(
        name=f"nnsight, {'invokes' if together else 'traces'}",
        sweep=as_invokes if together else one_by_one,
        nodes=nodes,
        prompts=1,
        rival="use",
    )
