"""Names of other libraries are accepted where their numbers are ours."""

import pytest

from mcq_jax.interventions import Site, aliases


@pytest.mark.parametrize("site", list(Site), ids=str)
def test_our_own_names(site: Site):
    for name in (site.label, site.name, f"Site.{site.name}"):
        assert Site.parse(name) == (site, None)


@pytest.mark.parametrize(
    ("name", "site", "layer"),
    [
        ("blocks.3.attn.hook_z", Site.Z, 3),
        ("blocks.12.hook_resid_pre", Site.RESID_PRE, 12),
        ("hook_resid_pre", Site.RESID_PRE, None),
        ("hook_z", Site.Z, None),
        ("hook_embed", Site.EMBED, None),
        ("blocks.0.attn.hook_attn_scores", Site.SCORES, 0),
        ("blocks.0.attn.hook_result", Site.HEAD_OUT, 0),
        ("blocks.1.mlp.hook_post", Site.MLP_POST, 1),
        ("blocks.1.hook_out", Site.RESID_POST, 1),
        ("blocks.1.attn.o.hook_in", Site.Z, 1),
        ("unembed.hook_out", Site.LOGITS, None),
    ],
)
def test_names_of_transformer_lens(name: str, site: Site, layer: int | None):
    assert Site.parse(name) == (site, layer)


@pytest.mark.parametrize(
    ("name", "site"),
    [
        ("ATTN_OUTPUT_PRE_LINEAR", Site.Z),
        ("attn_output_pre_linear", Site.Z),  # as the enum's value
        ("ATTNS", Site.PATTERN),
        ("FINAL_RESIDUAL", Site.RESID_POST),  # of every layer
        ("KEYS", Site.ROT_K),
    ],
)
def test_names_of_mishax(name: str, site: Site):
    assert Site.parse(name) == (site, None)


def test_the_name_before_the_activation_depends_on_the_model():
    name = "blocks.2.mlp.hook_pre"
    assert Site.parse(name, gated=True) == (Site.MLP_GATE, 2)
    assert Site.parse(name, gated=False) == (Site.MLP_PRE, 2)
    with pytest.raises(ValueError, match="give that Site.*gated=config.gated"):
        Site.parse(name)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("blocks.0.ln1.hook_scale", "theirs is the divisor; ATTN_SCALE multiplies"),
        ("blocks.0.ln2.hook_normalized", "before the norm's gain"),
        ("blocks.0.hook_q_input", "a path, not a site"),
        ("blocks.0.hook_attn_in", "before the norm .RESID_PRE.* output .ATTN_IN"),
        ("QUERIES", "multiplied by the score scale"),
        ("attn_logits", "before the causal mask"),
    ],
)
def test_close_names_are_refused_with_the_difference(name: str, reason: str):
    with pytest.raises(ValueError, match=reason):
        Site.parse(name)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("resid_prw", "RESID_PRE"),
        ("Site.PATERN", "PATTERN"),
        ("blocks.3.attn.hook_zz", "attn.hook_z"),
        ("blocks.0.hook_mlp_outt", "hook_mlp_out"),
        ("atn_output", "ATTN_OUTPUT"),
    ],
)
def test_an_unknown_name_suggests_the_nearest(name: str, nearest: str):
    with pytest.raises(ValueError, match=f"no site .* Did you mean {nearest}"):
        Site.parse(name)


def test_a_name_like_no_other_lists_the_sites():
    with pytest.raises(ValueError, match="Sites are EMBED, POS_EMBED, RESID_PRE"):
        Site.parse("@")


def test_a_site_without_layers_has_no_layer():
    with pytest.raises(ValueError, match="puts Site.EMBED in a layer"):
        Site.parse("blocks.1.hook_embed")


@pytest.mark.parametrize("table", [aliases.TRANSFORMER_LENS, aliases.MISHAX])
def test_every_alias_is_a_site(table):
    assert set(table.values()) <= set(Site.__members__)
