"""The oracle of path patching: its definition in nested loops, without JAX.

One sequence, plain feed-forward blocks with ReLU, no rotation, no biases. Every head
is given separate residuals to make its query, its keys and its values of.
"""

import collections
import functools

import numpy as np

from mcq_jax.interventions import Node, Site
from mcq_jax.interventions.circuits import FINAL, Input
from mcq_jax.model import ModelConfig, Norm, Parameters


class Loops:
    def __init__(self, parameters: Parameters, config: ModelConfig):
        self.config, self.parameters = config, parameters

    def _weights(self, layer: int, part: str, name: str) -> np.ndarray:
        return np.asarray(self.parameters.layers[layer][part][name][0], np.float64)

    def _norm(self, x, gain):
        if self.config.norm is Norm.NONE:
            return x
        square = np.mean(x * x, axis=-1, keepdims=True)
        return x / np.sqrt(square + self.config.norm_epsilon) * gain

    def head(self, node: Node, q_in, k_in, v_in):
        """What a head writes at each position."""
        kv_head, group = divmod(node.head or 0, self.config.group)
        weights = functools.partial(self._weights, node.layer, "attention")
        gain = weights("norm_gain")
        q = self._norm(q_in, gain) @ weights("query")[kv_head, group].T
        k = self._norm(k_in, gain) @ weights("key")[kv_head].T
        v = self._norm(v_in, gain) @ weights("value")[kv_head].T
        out = np.zeros_like(q_in)
        for position in range(len(q)):
            scores = k[: position + 1] @ q[position] / np.sqrt(self.config.head_width)
            shares = np.exp(scores - scores.max())
            z = shares @ v[: position + 1] / shares.sum()
            out[position] = z @ weights("output")[kv_head, group]
        return out

    def mlp(self, node: Node, x):
        weights = functools.partial(self._weights, node.layer, "feedforward")
        neurons = self._norm(x, weights("norm_gain")) @ weights("up").T
        return np.maximum(neurons, 0) @ weights("down")

    def run(self, tokens, replaced):
        """Returns inputs by receiver, outputs by node, and the logits.

        Where `replaced` has a receiver, it reads this at some positions.
        """
        inputs, outputs = {}, {}

        def read(receiver, x):
            inputs[receiver] = replaced.get(receiver, lambda x: x)(x)
            return inputs[receiver]

        table = np.asarray(self.parameters.embed["~"]["table"], np.float64)
        x = outputs[None] = table[np.asarray(tokens)]
        for layer in range(self.config.layers):
            for head in range(self.config.heads):
                node = Node(layer, head)
                sites = (Site.Q, Site.K, Site.V)
                outputs[node] = self.head(
                    node, *(read(Input(node, site), x) for site in sites)
                )
            x = x + sum(outputs[Node(layer, h)] for h in range(self.config.heads))
            node = Node(layer)
            outputs[node] = self.mlp(node, read(Input(node, Site.MLP_IN), x))
            x = x + outputs[node]
        unembed = self.parameters.unembedding["~"]
        final = self._norm(read(FINAL, x), np.asarray(unembed["norm_gain"]))
        return inputs, outputs, final @ np.asarray(unembed["table"], np.float64).T

    def patched(self, tokens, source, edges):
        """Logits of the run in which only `edges` (positions by edge) bring change."""
        clean_in, clean_out, _ = self.run(tokens, {})
        _, source_out, _ = self.run(source, {})
        into = collections.defaultdict(list)
        for edge in edges:
            into[edge.input].append(edge)

        def patched_input(receiver):
            x = clean_in[receiver].copy()
            for edge in into[receiver]:
                change = patched_output(edge.sender) - clean_out[edge.sender]
                for position in positions(edge):
                    x[position] += change[position]
            return x

        def positions(edge):
            chosen = edges[edge]
            return np.ravel(range(len(tokens)) if chosen is None else chosen)

        def patched_output(node):
            if not any(receiver.node == node for receiver in into if node):
                return source_out[node]
            if node.head is None:
                return self.mlp(node, patched_input(Input(node, Site.MLP_IN)))
            sites = (Site.Q, Site.K, Site.V)
            return self.head(
                node, *(patched_input(Input(node, site)) for site in sites)
            )

        def replacing(receiver, x):
            if receiver == FINAL:
                return patched_input(receiver)
            x = x.copy()
            for edge in into[receiver]:
                x[positions(edge)] = patched_input(receiver)[positions(edge)]
            return x

        replaced = {r: functools.partial(replacing, r) for r in into}
        return self.run(tokens, replaced)[2]
