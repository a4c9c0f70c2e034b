"""The oracle: a model of `transformers` with every site opened by torch hooks.

`Watched.run` calls `visit(site, layer, x)` once for each site and layer, in forward
order, with x `[row, *site axes]` in our axes; what it returns goes on through the
model. Where a site is no module's input or output (rotated queries, scores, pattern),
an eager attention of our own, registered with `transformers`, opens it.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from tests.fuzz.modules import NAMES
from tests.fuzz.norms import rescaled, rescaled_heads

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
modeling_utils = pytest.importorskip("transformers.modeling_utils")
masking_utils = pytest.importorskip("transformers.masking_utils")

Visit = Callable[[str, int, np.ndarray], np.ndarray]
# Of a layer's keys or values: [(edited, readers `[#row, query, kv_head, group]`)].
Versions = Callable[[str, int, np.ndarray], list[tuple[np.ndarray, np.ndarray]]]
ATTENTION = "opened_by_the_fuzz"


class Watched:
    """A reference model whose sites can be seen and changed."""

    def __init__(self, family: str, model: Any):
        self.model, self._names = model, NAMES[family]
        config = model.config
        self._heads = config.num_attention_heads
        self._kv_heads = getattr(config, "num_key_value_heads", None) or self._heads
        self._group = self._heads // self._kv_heads
        self._is_parallel = getattr(config, "use_parallel_residual", False)
        self._visit: Visit = lambda site, layer, x: x
        self._versions: Versions = lambda site, layer, x: []
        self._wanted: frozenset[str] = frozenset()
        self._rows = 1
        # What an edit of the residual between the halves adds behind both.
        self._moved: Any = 0
        self._input: Any = None
        self._attention_out: Any = None
        self._open()

    def run(
        self,
        tokens: np.ndarray,
        visit: Visit,
        *,
        wanted: frozenset[str],
        versions: Versions = lambda site, layer, x: [],
    ) -> np.ndarray:
        """Returns logits `[row, position, vocabulary]`; `visit` gets `wanted` sites."""
        self._visit, self._versions, self._wanted = visit, versions, wanted
        self._rows = len(tokens)
        self.model.set_attn_implementation(ATTENTION)
        with torch.no_grad():
            logits = self.model(torch.tensor(tokens), use_cache=False).logits
        return self._at("logits", 0, logits).numpy()

    def _at(self, site: str, layer: int, x):
        if site not in self._wanted:
            return x
        seen = self._visit(site, layer, x.detach().double().numpy())
        return torch.tensor(np.asarray(seen), dtype=x.dtype)

    def _open(self) -> None:
        model, names = self.model, self._names
        embed = model.get_input_embeddings()
        embed.register_forward_hook(lambda m, i, out: self._at("embed", 0, out))
        if names.layers == "transformer.h":
            model.transformer.wpe.register_forward_hook(self._positions)
        for layer, module in enumerate(model.get_submodule(names.layers)):
            self._open_layer(layer, module)
        final = model.get_submodule(names.final)
        final.register_forward_pre_hook(
            lambda m, i: (self._at("final_resid", 0, i[0]),)
        )
        final.register_forward_hook(self._norm("final_scale", "final_norm", 0))

    def _positions(self, module, inputs, out):
        if "pos_embed" not in self._wanted:
            return out
        return self._at("pos_embed", 0, out.expand(self._rows, -1, -1))

    def _open_layer(self, layer: int, block) -> None:
        names = self._names
        block.register_forward_pre_hook(self._begin(layer), with_kwargs=True)
        part = block.get_submodule
        if names.before is None:
            part(names.attention).register_forward_pre_hook(
                self._unnormed("attn_scale", "attn_in", layer), with_kwargs=True
            )
        else:
            part(names.before).register_forward_hook(
                self._norm("attn_scale", "attn_in", layer)
            )
        self._open_projections(layer, part)
        part(names.attention).opened = self
        part(names.attention).opened_layer = layer
        out = part(names.out)
        out.register_forward_pre_hook(lambda m, i: (self._mix(layer, i[0]),))
        out.register_forward_hook(lambda m, i, o: self._written(layer, m, i[0], o))
        if names.behind is not None:
            part(names.behind).register_forward_hook(
                self._norm("attn_out_scale", "attn_out", layer)
            )
        if names.before_mlp is None:
            part("mlp").register_forward_pre_hook(
                self._unnormed("mlp_scale", "mlp_in", layer), with_kwargs=True
            )
        else:
            norm = part(names.before_mlp)
            norm.register_forward_pre_hook(lambda m, i: (self._middle(layer, i[0]),))
            norm.register_forward_hook(self._norm("mlp_scale", "mlp_in", layer))
        self._open_neurons(layer, part)
        block.register_forward_hook(lambda m, i, o: self._end(layer, o))

    def _begin(self, layer: int):
        def hook(module, inputs, named):
            self._moved = 0
            self._input = self._at("resid_pre", layer, inputs[0])
            return (self._input, *inputs[1:]), named

        return hook

    def _end(self, layer: int, out):
        return self._at("resid_post", layer, out + self._moved)

    def _middle(self, layer: int, x):
        """The residual between the halves; a change of it goes past the MLP as well."""
        if self._is_parallel:  # the MLP reads the layer's input
            middle = x + self._attention_out
            self._moved = self._at("resid_mid", layer, middle) - middle
            return x
        edited = self._at("resid_mid", layer, x)
        self._moved = edited - x
        return edited

    def _norm(self, scale_site: str, site: str, layer: int):
        def hook(module, inputs, out):
            out = self._rescaled(scale_site, layer, module, inputs[0], out)
            out = self._at(site, layer, out)
            if site == "attn_out":
                self._attention_out = out
            return out

        return hook

    def _rescaled(self, site: str, layer: int, module, x, out):
        if site not in self._wanted:
            return out
        return rescaled(module, x, out, lambda scale: self._at(site, layer, scale))

    def _unnormed(self, scale_site: str, site: str, layer: int):
        """Where no norm stands in front of a half, its scale is 1."""

        def hook(module, inputs, named):
            x = named["hidden_states"] if "hidden_states" in named else inputs[0]
            if site == "mlp_in":
                x = self._middle(layer, x)
            one = torch.ones_like(x[..., :1])
            x = self._at(site, layer, x * self._at(scale_site, layer, one))
            if "hidden_states" in named:
                return inputs, named | {"hidden_states": x}
            return (x, *inputs[1:]), named

        return hook

    def _open_projections(self, layer: int, part) -> None:
        names, attention = self._names, self._names.attention
        if names.projections == "apart":
            for letter in "qkv":
                part(f"{attention}.{letter}_proj").register_forward_hook(
                    lambda m, i, out, letter=letter: self._projected(letter, layer, out)
                )
        else:
            part(names.fused).register_forward_hook(
                lambda m, i, out: self._fused(layer, out)
            )
        if names.normed_heads:
            for letter in "qk":
                part(f"{attention}.{letter}_norm").register_forward_hook(
                    self._normed_heads(letter, layer)
                )

    def _split(self, letter: str, x):
        """`[row, position, heads * width]` with axes for heads of their own."""
        heads = (self._kv_heads,) + ((self._group,) if letter == "q" else ())
        return x.reshape(*x.shape[:2], *heads, -1)

    def _projected(self, letter: str, layer: int, out):
        return self._at(letter, layer, self._split(letter, out)).reshape(out.shape)

    def _fused(self, layer: int, out):
        if self._names.projections == "by head":
            parts = out.reshape(*out.shape[:2], self._heads, 3, -1).unbind(3)
            parts = [part.flatten(2) for part in parts]
            q, k, v = (
                self._projected(*a) for a in zip("qkv", [layer] * 3, parts, strict=True)
            )
            split = [a.reshape(*a.shape[:2], self._heads, -1) for a in (q, k, v)]
            return torch.stack(split, 3).reshape(out.shape)
        width = out.shape[-1] // (self._heads + 2 * self._kv_heads)
        sizes = [width * self._heads, width * self._kv_heads, width * self._kv_heads]
        parts = out.split(sizes, -1)
        named = zip("qkv", parts, strict=True)
        return torch.cat(
            [self._projected(name, layer, part) for name, part in named], -1
        )

    def _normed_heads(self, letter: str, layer: int):
        heads = self._heads if letter == "q" else self._kv_heads
        site = f"{letter}_scale"

        def changed(scale):
            """`[row, position, head, 1]`, in our axes and back."""
            ours = self._split(letter, scale.flatten(2))
            return self._at(site, layer, ours).reshape(scale.shape)

        def hook(module, inputs, out):
            if site not in self._wanted:
                return out
            return rescaled_heads(module, inputs[0], out, heads, changed)

        return hook

    def attend(self, layer: int, q, k, v, mask, scaling: float, cap: float | None):
        """Eager attention; q is `[row, head, query, width]`, k and v by their heads."""
        q = self._at("rot_q", layer, self._by_position(q, "q"))
        k = self._at("rot_k", layer, self._by_position(k, "k"))
        v = self._by_position(v, "v")
        scores = self._scores(q, k, mask, scaling, cap)
        for edited, readers in self._edited("rot_k", layer, k):
            other = self._scores(q, edited, mask, scaling, cap)
            scores = torch.where(readers[..., None], other, scores)
        scores = self._at("scores", layer, scores)
        pattern = self._at("pattern", layer, scores.softmax(-1))
        z = torch.einsum("bkgqs,bskw->bkgqw", pattern, v)
        for edited, readers in self._edited("v", layer, v):
            other = torch.einsum("bkgqs,bskw->bkgqw", pattern, edited)
            z = torch.where(readers[..., None], other, z)
        return z.flatten(1, 2).transpose(1, 2), pattern

    def _edited(self, site: str, layer: int, x) -> Iterator[tuple[Any, Any]]:
        for edited, readers in self._versions(site, layer, x.double().numpy()):
            by_head = torch.tensor(np.moveaxis(readers, -3, -1))
            yield torch.tensor(edited, dtype=x.dtype), by_head

    def _by_position(self, x, letter: str):
        return self._split(letter, x.transpose(1, 2).flatten(2))

    def _scores(self, q, k, mask, scaling: float, cap: float | None):
        scores = torch.einsum("bqkgw,bskw->bkgqs", q, k) * scaling
        if cap is not None:
            scores = cap * torch.tanh(scores / cap)
        return scores.masked_fill(mask[:, :, None] < 0, -torch.inf)

    def _mix(self, layer: int, z):
        return self._at("z", layer, self._split("q", z)).reshape(z.shape)

    def _written(self, layer: int, module, z, out):
        if "head_out" in self._wanted:
            weight = module.weight  # GPT-2's lies the other way round
            if isinstance(module, torch.nn.Linear):
                weight = weight.T
            weight = weight.reshape(self._kv_heads, self._group, -1, weight.shape[-1])
            by_head = torch.einsum("bpkgh,kghw->bpkgw", self._split("q", z), weight)
            edited = self._at("head_out", layer, by_head)
            out = out + (edited - by_head).sum((2, 3))
        if self._names.behind is None:
            out = self._at("attn_out", layer, out)
            self._attention_out = out
        return out

    def _open_neurons(self, layer: int, part) -> None:
        names = self._names
        is_fused = names.gate is None and names.up == "mlp.gate_up_proj"

        def up(module, inputs, out):
            if not is_fused:
                return self._at("mlp_pre", layer, out)
            gate, pre = out.chunk(2, -1)
            gate, pre = (
                self._at("mlp_gate", layer, gate),
                self._at("mlp_pre", layer, pre),
            )
            return torch.cat([gate, pre], -1)

        if names.gate is not None:
            part(names.gate).register_forward_hook(
                lambda m, i, out: self._at("mlp_gate", layer, out)
            )
        part(names.up).register_forward_hook(up)
        part(names.down).register_forward_pre_hook(
            lambda m, i: (self._at("mlp_post", layer, i[0]),)
        )
        if names.behind_mlp is None:
            part("mlp").register_forward_hook(
                lambda m, i, out: self._at("mlp_out", layer, out)
            )
        else:
            part(names.behind_mlp).register_forward_hook(
                self._norm("mlp_out_scale", "mlp_out", layer)
            )


def _attention(module, query, key, value, attention_mask, scaling=None, **more):
    return module.opened.attend(
        module.opened_layer, query, key, value, attention_mask, scaling,
        more.get("softcap"),
    )  # fmt: skip


modeling_utils.ALL_ATTENTION_FUNCTIONS.register(ATTENTION, _attention)
masking_utils.ALL_MASK_ATTENTION_FUNCTIONS.register(ATTENTION, masking_utils.eager_mask)
