"""The map of the model: every place that can be read or changed, in forward order."""

import enum

from mcq_jax.arguments import check_kind
from mcq_jax.interventions import aliases


class Site(enum.Enum):
    """A named activation. The value is its axes inside one layer, for one sequence.

    Names follow the field's (TransformerLens) where it has one. `position` is the
    axis along which positions are selected; attention's scores and pattern have it
    as the query axis. Sites without a layer are marked by `per_layer`. Not every model
    has every site: `mcq_jax.model.sites_of` says which.
    """

    EMBED = "embed", ("position", "width")
    POS_EMBED = "pos_embed", ("position", "width")
    RESID_PRE = "resid_pre", ("position", "width")
    ATTN_SCALE = "attn_scale", ("position", "one")
    ATTN_IN = "attn_in", ("position", "width")
    Q = "q", ("position", "kv_head", "group", "head_width")
    K = "k", ("position", "kv_head", "head_width")
    V = "v", ("position", "kv_head", "head_width")
    Q_SCALE = "q_scale", ("position", "kv_head", "group", "one")
    K_SCALE = "k_scale", ("position", "kv_head", "one")
    ROT_Q = "rot_q", ("position", "kv_head", "group", "head_width")
    ROT_K = "rot_k", ("position", "kv_head", "head_width")
    SCORES = "scores", ("kv_head", "group", "position", "key")
    PATTERN = "pattern", ("kv_head", "group", "position", "key")
    Z = "z", ("position", "kv_head", "group", "head_width")
    HEAD_OUT = "head_out", ("position", "kv_head", "group", "width")
    ATTN_OUT_SCALE = "attn_out_scale", ("position", "one")
    ATTN_OUT = "attn_out", ("position", "width")
    RESID_MID = "resid_mid", ("position", "width")
    MLP_SCALE = "mlp_scale", ("position", "one")
    MLP_IN = "mlp_in", ("position", "width")
    MLP_GATE = "mlp_gate", ("position", "neuron")
    MLP_PRE = "mlp_pre", ("position", "neuron")
    MLP_POST = "mlp_post", ("position", "neuron")
    MLP_OUT_SCALE = "mlp_out_scale", ("position", "one")
    MLP_OUT = "mlp_out", ("position", "width")
    RESID_POST = "resid_post", ("position", "width")
    FINAL_RESID = "final_resid", ("position", "width")
    FINAL_SCALE = "final_scale", ("position", "one")
    FINAL_NORM = "final_norm", ("position", "width")
    LOGITS = "logits", ("position", "vocabulary")

    @property
    def axes(self) -> tuple[str, ...]:
        return self.value[1]

    @property
    def position_axis(self) -> int:
        return self.axes.index("position")

    @property
    def label(self) -> str:
        """The name as it is written in sentences and files: `resid_pre`."""
        return self.value[0]

    @property
    def unit_axes(self) -> tuple[int, ...]:
        """The axes that count heads or neurons; a query head spans two of them."""
        units = ("kv_head", "group", "neuron")
        return tuple(i for i, axis in enumerate(self.axes) if axis in units)

    @property
    def unit(self) -> str | None:
        """What can be selected within a position: "head", "neuron" or nothing."""
        if "kv_head" in self.axes:
            return "head"
        return "neuron" if "neuron" in self.axes else None

    @property
    def key_axes(self) -> tuple[int, ...]:
        """The axis of the positions looked at; only scores and pattern have one."""
        return tuple(i for i, axis in enumerate(self.axes) if axis == "key")

    @property
    def per_layer(self) -> bool:
        return self not in _WITHOUT_LAYER

    @classmethod
    def parse(
        cls, name: str, *, gated: bool | None = None
    ) -> tuple["Site", int | None]:
        """Returns the site of a name, and the layer if the name holds one.

        Names are ours ("z"), TransformerLens's ("blocks.3.attn.hook_z") and mishax's
        ("ATTNS"). `gated` says whether the model's feed-forward blocks are, for the one
        name (`hook_pre`) that depends on it.
        """
        check_kind(name, str, "a site's name", "give text, or the Site itself")
        member, layer = aliases.resolve(name, list(cls.__members__), gated=gated)
        site = cls[member]
        if layer is not None and not site.per_layer:
            raise ValueError(f"{name!r} puts {site} in a layer; it belongs to none.")
        return site, layer

    def __lt__(self, other: "Site") -> bool:
        """Forward order; jax sorts the keys of a dictionary that leaves `jit`."""
        sites = list(Site)
        return sites.index(self) < sites.index(other)

    def __repr__(self) -> str:
        return f"Site.{self.name}"


_WITHOUT_LAYER = frozenset(
    {
        Site.EMBED,
        Site.POS_EMBED,
        Site.FINAL_RESID,
        Site.FINAL_SCALE,
        Site.FINAL_NORM,
        Site.LOGITS,
    }
)
