"""Every field of an edit says which of its axes runs over rows."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax.interventions import Capture, Edit, Site, apply, patch
from mcq_jax.interventions.rows import NO_ROWS, array, pytree, row_axes
from tests.interventions.test_kinds import bent


def test_a_field_that_does_not_say_is_refused_when_its_class_is_defined():
    with pytest.raises(TypeError, match="Wider.extra does not say which of its axes"):

        @pytree
        @dataclasses.dataclass(frozen=True, kw_only=True)
        class Wider(Edit):
            extra: jax.Array | None = None

        del Wider


def test_a_new_field_is_vmapped_along_the_axis_that_it_names():
    @pytree
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Timed(Edit):
        times: jax.Array = array(0)

    plain = patch(Site.Z, 0.0, positions=[[1], [2]])
    fields = {f.name: getattr(plain, f.name) for f in dataclasses.fields(plain)}
    edit = Timed(**fields, times=jnp.zeros(2))
    leaves = jax.tree.leaves(edit)
    assert len(row_axes(edit)) == len(leaves)
    (place,) = (i for i, leaf in enumerate(leaves) if leaf.shape == (2,))
    assert row_axes(edit)[place] == 0


def test_axes_stand_in_the_order_of_the_leaves():
    edit = apply(Site.Z, bent, np.ones(5), 1.0, layers=[1, 2], heads=[0], positions=[3])
    found = dict(zip(map(id, jax.tree.leaves(edit)), row_axes(edit), strict=True))
    assert edit.layers is not None and edit.positions is not None
    assert found[id(edit.layers)] == NO_ROWS and found[id(edit.positions)] == 0
    assert found[id(edit.units)] == found[id(edit.weight)] == 1
    assert found[id(edit.arguments[1].values)] == 1
    capture = Capture.of(Site.Z, positions=[[1], [2]], heads=[0])
    assert row_axes([edit, capture])[-2:] == [0, 0]
