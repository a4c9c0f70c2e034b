import jax
import jax.numpy as jnp
import numpy as np

from mcq_jax import metrics

LAYERS, KV_HEADS, GROUPS, HEAD_WIDTH, WIDTH, CHOICES = 3, 2, 2, 4, 8, 5
CONSERVATION = 1e-5  # float32 sums of some twenty terms of order one


def linear_model(seed: int) -> dict[str, jax.Array]:
    """What one prompt of a random residual model holds at the answer position."""
    shapes = {
        "heads": (LAYERS, KV_HEADS, GROUPS, HEAD_WIDTH),
        "output_weights": (LAYERS, KV_HEADS, GROUPS, HEAD_WIDTH, WIDTH),
        "feedforward": (LAYERS, WIDTH),
        "embedding": (WIDTH,),
        "biases": (LAYERS, WIDTH),
        "gain": (WIDTH,),
        "answers": (CHOICES, WIDTH),
    }
    keys = jax.random.split(jax.random.key(seed), len(shapes))
    return {
        name: jax.random.normal(key, shape) / 2
        for key, (name, shape) in zip(keys, shapes.items(), strict=True)
    }


def run(model: dict[str, jax.Array]) -> tuple[jax.Array, jax.Array]:
    """Returns answer logits and norm scale, head by head and layer by layer."""
    residual = model["embedding"]
    for layer in range(LAYERS):
        for kv_head in range(KV_HEADS):
            for group in range(GROUPS):
                head = model["heads"][layer, kv_head, group]
                weights = model["output_weights"][layer, kv_head, group]
                residual = residual + head @ weights
        residual = residual + model["biases"][layer] + model["feedforward"][layer]
    scale = jnp.sqrt((residual**2).mean() + 1e-6)
    return model["answers"] @ (model["gain"] * residual / scale), scale


def parts_of(model: dict[str, jax.Array], scale: jax.Array) -> metrics.Contributions:
    return metrics.node_contributions(
        model["heads"],
        model["feedforward"],
        model["embedding"],
        output_weights=model["output_weights"],
        biases=model["biases"],
        directions=metrics.answer_directions(model["answers"], model["gain"], scale),
    )


def test_contributions_add_up_to_the_logits():
    model = linear_model(0)
    logits, scale = run(model)
    parts = parts_of(model, scale)
    assert parts.nodes.shape == (LAYERS, KV_HEADS * GROUPS + 1, CHOICES)
    assert metrics.conservation_error(parts, logits) < CONSERVATION


def test_a_missing_bias_breaks_conservation():
    model = linear_model(0)
    logits, scale = run(model)
    without = model | {"biases": jnp.zeros((0, WIDTH))}
    assert metrics.conservation_error(parts_of(without, scale), logits) > 0.1


def test_a_node_stands_at_its_query_head_index_and_the_block_last():
    model = linear_model(1)
    _, scale = run(model)
    silent = jax.tree.map(jnp.zeros_like, model["heads"])
    only = silent.at[1, 1, 0].set(model["heads"][1, 1, 0])
    nodes = parts_of(model | {"heads": only}, scale).nodes
    written = np.asarray(jnp.abs(nodes).sum(-1) > 0)
    expected = np.zeros((LAYERS, KV_HEADS * GROUPS + 1), bool)
    expected[1, 1 * GROUPS + 0] = True
    expected[:, -1] = True
    np.testing.assert_array_equal(written, expected)


def test_direct_effects_and_the_rest_add_up_to_the_net_difference_at_one_scale():
    clean, source = linear_model(2), linear_model(3)
    source |= {name: clean[name] for name in ("output_weights", "gain", "answers")}
    _, scale = run(clean)
    here, there = parts_of(clean, scale), parts_of(source, scale)
    gold = jnp.asarray(1)
    effects = metrics.direct_effect(here.nodes, there.nodes[None], gold)[0]
    rest = metrics.net(here.rest - there.rest, gold)

    def net_at_scale(model: dict[str, jax.Array]) -> jax.Array:
        logits, own_scale = run(model)
        return metrics.net(logits * own_scale / scale, gold)

    expected = net_at_scale(clean) - net_at_scale(source)
    np.testing.assert_allclose(effects.sum() + rest, expected, rtol=1e-4)
