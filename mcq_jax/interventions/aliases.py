"""The names that other libraries give to our sites, and where they mean less or more.

A name is accepted only where its numbers are ours: those of TransformerLens (2 to 4)
and mishax. A name that is merely close is refused with the difference.
"""

import difflib
import re
from collections.abc import Sequence

# Inside `blocks.l.`, if the site is in a layer.
TRANSFORMER_LENS = {
    "hook_embed": "EMBED",
    "embed.hook_out": "EMBED",
    "hook_pos_embed": "POS_EMBED",
    "hook_resid_pre": "RESID_PRE",
    "hook_in": "RESID_PRE",
    "ln1.hook_in": "RESID_PRE",
    "ln1.hook_out": "ATTN_IN",
    "attn.hook_in": "ATTN_IN",
    "attn.hook_q": "Q",
    "attn.q.hook_out": "Q",
    "attn.hook_k": "K",
    "attn.k.hook_out": "K",
    "attn.hook_v": "V",
    "attn.v.hook_out": "V",
    "attn.hook_rot_q": "ROT_Q",
    "attn.hook_rot_k": "ROT_K",
    "attn.hook_attn_scores": "SCORES",
    "attn.hook_pattern": "PATTERN",
    "attn.hook_z": "Z",
    "attn.o.hook_in": "Z",
    "attn.hook_result": "HEAD_OUT",
    "hook_attn_out": "ATTN_OUT",
    "attn.hook_out": "ATTN_OUT",
    "hook_resid_mid": "RESID_MID",
    "ln2.hook_in": "RESID_MID",
    "ln2.hook_out": "MLP_IN",
    "mlp.hook_in": "MLP_IN",
    "mlp.gate.hook_out": "MLP_GATE",
    "mlp.hook_pre_linear": "MLP_PRE",
    "mlp.in.hook_out": "MLP_PRE",
    "mlp.hook_post": "MLP_POST",
    "mlp.out.hook_in": "MLP_POST",
    "hook_mlp_out": "MLP_OUT",
    "mlp.hook_out": "MLP_OUT",
    "hook_resid_post": "RESID_POST",
    "hook_out": "RESID_POST",
    "ln_final.hook_in": "FINAL_RESID",
    "ln_final.hook_out": "FINAL_NORM",
    "unembed.hook_out": "LOGITS",
}

MISHAX = {
    "INPUTS": "EMBED",
    "ATTN_INPUT_PRE_LAYERNORM": "RESID_PRE",
    "PRE_ATTN_LAYERNORM": "ATTN_IN",
    "KEYS": "ROT_K",
    "VALUES": "V",
    "ATTNS": "PATTERN",
    "ATTN_OUTPUT_PRE_LINEAR": "Z",
    "ATTN_OUTPUT": "ATTN_OUT",
    "POST_ATTN_RESIDUAL": "RESID_MID",
    "PRE_MLP_LAYERNORM": "MLP_IN",
    "MLP_HIDDEN": "MLP_GATE",
    "MLP_HIDDEN_PRE_GATE": "MLP_PRE",
    "MLP_POST_ACTIVATION": "MLP_POST",
    "MLP_OUTPUT": "MLP_OUT",
    "FINAL_RESIDUAL": "RESID_POST",
    "FINAL_RESIDUAL_POST_LAYERNORM": "FINAL_NORM",
}

_DIVIDES = "theirs is the divisor; {} multiplies, so it is 1 over theirs"
_BEFORE_GAIN = "theirs is before the norm's gain (unless folded), {} behind it"
_COPIES = (
    "in TransformerLens 2 and 3 it is a copy of the residual stream before the norm "
    "({}), in 4 the norm's output ({}); say which"
)
_PATHS = "it is one reader's copy of the residual stream, which is a path, not a site"

# Close, but other numbers: what differs.
DIFFERENT = {
    "ln1.hook_scale": _DIVIDES.format("ATTN_SCALE"),
    "ln2.hook_scale": _DIVIDES.format("MLP_SCALE"),
    "ln1_post.hook_scale": _DIVIDES.format("ATTN_OUT_SCALE"),
    "ln2_post.hook_scale": _DIVIDES.format("MLP_OUT_SCALE"),
    "attn.q_norm.hook_scale": _DIVIDES.format("Q_SCALE"),
    "attn.k_norm.hook_scale": _DIVIDES.format("K_SCALE"),
    "ln_final.hook_scale": _DIVIDES.format("FINAL_SCALE"),
    "ln1.hook_normalized": _BEFORE_GAIN.format("ATTN_IN"),
    "ln2.hook_normalized": _BEFORE_GAIN.format("MLP_IN"),
    "ln_final.hook_normalized": _BEFORE_GAIN.format("FINAL_NORM"),
    "hook_attn_in": _COPIES.format("RESID_PRE", "ATTN_IN"),
    "hook_mlp_in": _COPIES.format("RESID_MID", "MLP_IN"),
    "hook_q_input": _PATHS,
    "hook_k_input": _PATHS,
    "hook_v_input": _PATHS,
    "QUERIES": "theirs are multiplied by the score scale; ROT_Q is not",
    "ATTN_LOGITS": "theirs are before the causal mask; in SCORES it is -inf",
}


def resolve(
    name: str, members: Sequence[str], *, gated: bool | None
) -> tuple[str, int | None]:
    """Returns the member of `Site` that a name stands for, and the layer it holds."""
    own = name.removeprefix("Site.").upper()
    if own in members:
        return own, None
    if own in MISHAX:
        return MISHAX[own], None
    _refuse_different(name, own)
    match = re.fullmatch(r"(?:blocks\.(\d+)\.)?(.+)", name)
    layer, hook = match.groups() if match else (None, name)
    hook = _with_module(hook)
    _refuse_different(name, hook)
    if hook == "mlp.hook_pre":
        member = _before_activation(name, gated)
    elif hook in TRANSFORMER_LENS:
        member = TRANSFORMER_LENS[hook]
    else:
        raise ValueError(f"no site is called {name!r}.{_nearest(name, hook, members)}")
    if member not in members:
        raise ValueError(f"{name!r} is {member}, a site that this version lacks.")
    return member, None if layer is None else int(layer)


def _with_module(hook: str) -> str:
    """`hook_z` is `attn.hook_z`, where only one module has such a hook."""
    known = {*TRANSFORMER_LENS, *DIFFERENT, "mlp.hook_pre"}
    endings = [key for key in known if key.endswith(f".{hook}")]
    return endings[0] if hook not in known and len(endings) == 1 else hook


def _refuse_different(name: str, key: str) -> None:
    if key in DIFFERENT:
        raise ValueError(f"{name!r} is not one of our sites: {DIFFERENT[key]}.")


def _before_activation(name: str, gated: bool | None) -> str:
    if gated is None:
        raise ValueError(
            f"{name!r} is MLP_GATE where config.gated is true and MLP_PRE where it is "
            "not; give that Site, with its layer as layers=, or read the name with "
            "Site.parse(name, gated=config.gated)."
        )
    return "MLP_GATE" if gated else "MLP_PRE"


def _nearest(name: str, hook: str, members: Sequence[str]) -> str:
    spellings = {member.lower(): member for member in members}
    spellings |= {key.lower(): key for key in (*TRANSFORMER_LENS, *MISHAX)}
    for attempt in (name.removeprefix("Site.").lower(), hook.lower()):
        found = difflib.get_close_matches(attempt, spellings, n=1)
        if found:
            return f" Did you mean {spellings[found[0]]}?"
    return f" Sites are {', '.join(members)}."
