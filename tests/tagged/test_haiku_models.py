"""Haiku models that nobody wrote for us: haiku's own networks, unedited."""

from functools import partial

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from mcq_jax import tagged

KEY = jax.random.key(0)


def test_a_multilayer_perceptron_of_haiku():
    model = hk.without_apply_rng(hk.transform(lambda x: hk.nets.MLP([3, 2])(x)))
    x = jnp.ones((1, 4))
    parameters = model.init(KEY, x)
    tagged_model = tagged.tag_haiku(model)
    names = [site.name for site in tagged.sites(tagged_model.apply, parameters, x)]
    assert names == ["mlp/~/linear_0:output", "mlp/~/linear_1:output", "mlp:output"]

    source = jnp.asarray([[1.0, -1.0, 2.0]])
    found = tagged.run(
        tagged_model.apply, parameters, x,
        edits=[tagged.patch("mlp/~/linear_0:output", source)],
        capture=["mlp/~/linear_1:output"],
    )  # fmt: skip
    last = parameters["mlp/~/linear_1"]
    expected = jnp.asarray([[1.0, 0.0, 2.0]]) @ last["w"] + last["b"][None]
    np.testing.assert_allclose(found.output, expected, rtol=1e-6)
    np.testing.assert_array_equal(found.captured["mlp/~/linear_1:output"], found.output)


def test_names_change_no_bit_and_parameters_and_flags_pass_through():
    def network(x, is_training):
        net = hk.nets.MobileNetV1(
            strides=(1, 2), channels=(4, 8), num_classes=3, use_bn=False
        )
        return net(x, is_training)

    model = hk.transform_with_state(network)
    tagged_model = tagged.tag_haiku(model)
    x = jax.random.normal(KEY, (1, 8, 8, 3))
    parameters, state = jax.jit(model.init, static_argnums=2)(KEY, x, False)

    block = "mobile_net_v1/mobile_net_v1_block_1:output"
    run = jax.jit(
        lambda edits, *arrays: tagged.run(
            tagged_model.apply, *arrays, False, edits=edits, capture=[block]
        )
    )
    arguments = parameters, state, None, x
    plain = jax.jit(model.apply, static_argnums=4)(*arguments, False)
    found = run((), *arguments)
    jax.tree.map(np.testing.assert_array_equal, found.output, plain)
    assert found.captured[block].shape == (1, 2, 2, 8)
    silenced = run([tagged.scale(block, 0.0)], *arguments)
    bias = parameters["mobile_net_v1/logits"]["b"]
    np.testing.assert_array_equal(silenced.output[0], bias[None])
    assert not np.allclose(plain[0], bias[None])


def test_modules_under_a_stack_have_their_layer():
    def network(x):
        return hk.experimental.layer_stack(3)(hk.Linear(4, name="block"))(x)

    model = tagged.tag_haiku(hk.without_apply_rng(hk.transform(network)))
    x = jnp.ones((1, 4))
    parameters = model.init(KEY, x)
    found = {site.name: site for site in tagged.sites(model.apply, parameters, x)}
    assert found["block:output"].loops == (3,)
    run = jax.jit(partial(tagged.run, model.apply, capture=["block:output"]))
    edits = [tagged.patch("block:output", 2.0, layers=1)]
    values = run(parameters, x, edits=edits).captured["block:output"]
    np.testing.assert_array_equal(values[1], np.full((1, 4), 2.0))
    ((_, weights),) = (jax.tree.leaves(leaf) for leaf in parameters.values())
    np.testing.assert_allclose(values[2], jnp.full((1, 4), 2.0) @ weights[2], rtol=1e-6)


def test_modules_under_haiku_scan_and_remat_have_their_layer():
    def network(x):
        block = hk.Linear(4, name="block")
        step = hk.remat(lambda x, _: (block(x), None))
        return hk.scan(step, block(x), xs=None, length=3)[0]

    model = tagged.tag_haiku(hk.without_apply_rng(hk.transform(network)))
    parameters = model.init(KEY, jnp.ones((1, 4)))
    first, rest = tagged.sites(model.apply, parameters, jnp.ones((1, 4)))
    assert (first.name, rest.name) == ("block:output[0]", "block:output[1]")
    assert (first.loops, rest.loops) == ((), (3,))


def test_other_methods_and_outputs_of_several_arrays_have_names():
    class Recurrent(hk.Module):
        def start(self):
            return {"count": 0, "memory": hk.get_parameter("m", (2,), init=jnp.ones)}

        def __call__(self):
            return self.start()["memory"], "text"

    model = hk.without_apply_rng(hk.transform(lambda: Recurrent(name="rnn")()))
    apply = tagged.tag_haiku(model.apply)
    parameters = model.init(KEY)
    names = [site.name for site in tagged.sites(apply, parameters)]
    assert names == ["rnn.start:output.memory", "rnn:output.0"]
    found = tagged.run(apply, parameters, edits=[tagged.add(names[0], 1.0)])
    np.testing.assert_array_equal(found.output[0], [2, 2])
    assert found.output[1] == "text"


def test_a_jitted_model_that_has_run_before_still_gets_names():
    model = hk.without_apply_rng(hk.transform(lambda x: hk.Linear(2)(x)))
    parameters = model.init(KEY, jnp.ones(3))
    apply = jax.jit(model.apply)
    apply(parameters, jnp.ones(3))
    (site,) = tagged.sites(tagged.tag_haiku(apply), parameters, jnp.ones(3))
    assert site.name == "linear:output"
    assert not tagged.sites(model.apply, parameters, jnp.ones(3))
