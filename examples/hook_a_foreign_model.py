"""Hook a model that knows nothing of us: name values, list them, see, change, sweep.

Run it with `python examples/hook_a_foreign_model.py`; it takes seconds on a laptop. The
only thing a model needs is `checkpoint_name` around what is of interest, which large
training codebases have for rematerialisation anyway. A Haiku model needs nothing.
"""

import haiku as hk
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from mcq_jax import tagged

LAYERS, POSITIONS, WIDTH = 4, 5, 8


def model(weights, x):
    """Somebody's training code: remat under scan, and names for what remat saves."""

    @jax.checkpoint
    def block(x, weight):
        update = checkpoint_name(jnp.tanh(x @ weight), "update")
        return checkpoint_name(x + update, "resid"), None

    x, _ = jax.lax.scan(block, x, weights)
    return x.sum()


def main():
    one, two, three = jax.random.split(jax.random.key(0), 3)
    weights = jax.random.normal(one, (LAYERS, WIDTH, WIDTH)) / WIDTH**0.5
    clean = jax.random.normal(two, (POSITIONS, WIDTH))
    other = jax.random.normal(three, (POSITIONS, WIDTH))

    print("Named values of the plain JAX model:")
    print(tagged.describe(tagged.sites(model, weights, clean)))

    # See: the last position of two layers, and nothing else is stored.
    wish = tagged.TagCapture(name="resid", layers=(1, 3), axis=0, indices=-1)
    seen = tagged.run(model, weights, clean, capture=[wish])
    print(f"\nCaptured resid: {seen.captured['resid'].shape}")

    # Change: a batch of edits, one layer each, in one compiled program.
    source = tagged.run(model, weights, other, capture=["update"]).captured["update"]

    @jax.jit
    @jax.vmap
    def effect(layer, update):
        patch = tagged.patch("update", update, layers=layer)
        return tagged.run(model, weights, clean, edits=[patch]).output

    layers = jnp.arange(LAYERS)
    effects = effect(layers, source) - model(weights, clean)
    print("Effect of patching each layer's update:", effects)

    # Estimate: the derivative at weight 0 is attribution patching, through remat.
    @jax.jit
    def patched(amounts):
        weight = amounts[:, None, None]  # [layer, position, width]
        patch = tagged.patch("update", source, weight=weight)
        return tagged.run(model, weights, clean, edits=[patch]).output

    print("Its first-order estimate:              ",
          jax.grad(patched)(jnp.zeros(LAYERS)))  # fmt: skip

    hook_a_haiku_model(clean)


def hook_a_haiku_model(x):
    network = hk.without_apply_rng(hk.transform(lambda x: hk.nets.MLP([16, 16, 2])(x)))
    parameters = network.init(jax.random.key(1), x)
    apply = tagged.tag_haiku(network).apply  # the network itself stays as it is

    print("\nNamed values of an unedited Haiku model:")
    print(tagged.describe(tagged.sites(apply, parameters, x)))
    silence = tagged.patch("mlp/~/linear_1:output", 0.0, axis=1, indices=[3])
    found = tagged.run(apply, parameters, x, edits=[silence])
    change = found.output - network.apply(parameters, x)
    print("Effect of silencing neuron 3:", change[0])


if __name__ == "__main__":
    with jnp.printoptions(precision=2, suppress=True):
        main()
