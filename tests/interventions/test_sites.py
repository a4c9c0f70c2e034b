import pytest

from mcq_jax.interventions import Site


def test_sites_sort_in_forward_order():
    shuffled = [Site.LOGITS, Site.Z, Site.EMBED, Site.MLP_OUT, Site.RESID_PRE]
    assert sorted(shuffled) == [
        Site.EMBED, Site.RESID_PRE, Site.Z, Site.MLP_OUT, Site.LOGITS,
    ]  # fmt: skip


def test_every_site_has_one_position_axis():
    for site in Site:
        assert site.axes.count("position") == 1
        assert site.axes[site.position_axis] == "position"


def test_sites_outside_the_layers_are_at_both_ends():
    outside = [site.name for site in Site if not site.per_layer]
    assert outside == [
        "EMBED", "POS_EMBED", "FINAL_RESID", "FINAL_SCALE", "FINAL_NORM", "LOGITS",
    ]  # fmt: skip


def test_an_unknown_site_is_an_error():
    with pytest.raises(AttributeError, match="NO_SUCH_PLACE"):
        Site.NO_SUCH_PLACE  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]
