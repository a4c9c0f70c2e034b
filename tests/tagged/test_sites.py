"""The list of a function's named values."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name

from mcq_jax import tagged
from tests.tagged import models


def test_sites_come_in_order_with_shapes_and_loops():
    found = tagged.sites(models.LOOPED["all at once"], *_arguments())
    assert [site.name for site in found] == ["hidden", "resid"]
    hidden, resid = found
    assert hidden.shape == (models.ROWS, models.HIDDEN)
    assert resid.shape == (models.ROWS, models.WIDTH)
    assert hidden.dtype == jnp.float32
    assert hidden.loops == (models.LAYERS,) and hidden.layers() == models.LAYERS
    assert hidden.inside == ("jit", "remat", "scan", "jit")


def test_repeated_names_are_numbered_in_the_order_of_the_program():
    found = tagged.sites(models.unrolled, *_arguments())
    assert [site.name for site in found] == [
        "hidden[0]", "resid[0]", "hidden[1]", "resid[1]", "hidden[2]", "resid[2]",
    ]  # fmt: skip
    assert all(site.layers() is None for site in found)


def test_one_jitted_layer_called_often_is_many_values():
    layer = jax.jit(lambda x: checkpoint_name(x + 1, "resid"))
    found = tagged.run(lambda x: layer(layer(x)), 0.0, capture=["resid[0]", "resid[1]"])
    assert found.captured == {"resid[0]": 1, "resid[1]": 2}


def test_nothing_is_computed_to_list_sites():
    shapes = jax.eval_shape(models.parameters), jax.eval_shape(models.inputs)
    assert tagged.sites(models.scanned, *shapes) == tagged.sites(
        models.scanned, *_arguments()
    )


def test_a_table_reads_like_a_map():
    def model(weights, x):
        x = models.scanned(weights, checkpoint_name(x, "embed"))
        return jax.lax.while_loop(
            lambda x: x.sum() < 1,
            lambda x: checkpoint_name(2 * x, "twice").astype(x.dtype),
            checkpoint_name(x.astype(jnp.bfloat16), "rounded"),
        )

    table = tagged.describe(tagged.sites(model, *_arguments()))
    assert table == "\n".join([
        "name     type           layers  inside",
        "embed    float32[2, 4]",
        "hidden   float32[2, 5]  3       scan",
        "resid    float32[2, 4]  3       scan",
        "rounded  bfloat16[2]",
        "twice    bfloat16[2]    ?       while",
    ])  # fmt: skip


def test_arguments_that_are_not_arrays_stay_as_they_are():
    def model(options, x):
        y = checkpoint_name(options["activation"](x), "after")
        return (y, "flag") if options["flag"] is True else y

    options = {"activation": jnp.tanh, "flag": True}
    found = tagged.run(model, options, jnp.zeros(2), edits=[tagged.add("after", 1.0)])
    array, word = found.output
    np.testing.assert_array_equal(array, [1, 1])
    assert word == "flag"


def test_keyword_arguments_are_bound_beforehand():
    def model(x, *, power):
        return checkpoint_name(x**power, "power")

    found = tagged.run(partial(model, power=3), jnp.float32(2.0), capture=["power"])
    assert found.captured["power"] == 8


def _arguments():
    return models.parameters(), models.inputs()
