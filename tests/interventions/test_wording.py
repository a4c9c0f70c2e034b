"""What `print(edit)` says."""

import jax
import jax.numpy as jnp
import pytest

from mcq_jax.interventions import Edit, Site, add, apply, patch, project_out, scale
from tests.interventions.single import activation, random
from tests.interventions.test_kinds import bent

SOURCE = activation(Site.Z)[None, None]
BY_POSITION = jnp.arange(4.0).reshape(1, 1, 4, 1, 1, 1)


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (
            patch(Site.Z, SOURCE[:, :, :1], layers=[20], heads=[3], positions=[41]),
            "patch z of layer 20, head 3, at position 41 with a stored source",
        ),
        (
            patch(Site.EMBED, 0.0, positions=[[3], [5]]),
            "patch embed, at positions 3; 5 (by row) with 0",
        ),
        (
            add(Site.RESID_POST, 2, layers=range(3), weight=4.0),
            "add 2 to resid_post of layers 0, 1 and 2 (weight 4)",
        ),
        (
            scale(Site.MLP_POST, 0, layers=[2], neurons=[5, 9]),
            "scale mlp_post of layer 2, neurons 5 and 9 by 0",
        ),
        (
            patch(Site.PATTERN, 0, heads=1, positions=3, keys=[0, 1]),
            "patch pattern of every layer, head 1, at position 3, "
            "for keys 0 and 1 with 0",
        ),
        (
            project_out(Site.K, random(2, 5), heads=[1]),
            "apply out_of_basis to k of every layer, kv head 1",
        ),
        (
            apply(Site.Z, bent, random(5), 1.0, weight=BY_POSITION),
            "apply bent to z of every layer (weights stored)",
        ),
        (
            patch(Site.Z, 0.0, layers=range(40)),
            "patch z of layers 0, 1, 2, 3, 4, 5, 6, … and 39 with 0",
        ),
    ],
    ids=str,
)  # fmt: skip
def test_an_edit_reads_as_a_sentence(edit: Edit, sentence: str):
    assert str(edit) == sentence


def test_an_edit_that_does_nothing_says_so():
    assert str(patch(Site.Z, 0.0, layers=[])).startswith("patch z of no layer")


def test_what_is_traced_is_said_to_be():
    seen = []

    @jax.jit
    def run(edit):
        seen.append(str(edit))

    run(patch(Site.EMBED, 2.0))
    assert seen == ["patch embed with a stored source (weight traced)"]
    run(patch(Site.Z, 0.0, layers=[2], heads=[1]))
    assert "of layers that are traced, heads that are traced with" in seen[1]
