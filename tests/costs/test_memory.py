"""The one formula of a chunk's memory, by hand."""

from mcq_jax import costs
from mcq_jax.model import ModelConfig

# Per token: 2 x 3 x 2 x 8 = 96 numbers of keys and values in all layers, and in one
# layer 6 x 16 + 3 x 20 + 2 x 4 x keys alive at once.
CONFIG = ModelConfig(
    layers=3, width=16, kv_heads=2, group=2, head_width=8, neurons=20, vocabulary=9,
    context=50, rotary_width=8,
)  # fmt: skip
KEPT, IN_A_LAYER = 96, 96 + 60 + 8 * 10


def _numbers(**sizes: int) -> float:
    return costs.chunk_bytes(CONFIG, tokens=10, **sizes) / 4


def test_prompts_keep_their_keys_and_run_through_a_layer():
    assert _numbers(prompts=2) == 2 * 10 * (KEPT + IN_A_LAYER)


def test_rows_run_when_the_prompts_are_done():
    assert _numbers(prompts=2, rows=20) == _numbers(prompts=2)
    assert _numbers(prompts=2, rows=50) == 2 * 10 * KEPT + 50 * IN_A_LAYER
    assert _numbers(prompts=2, rows=50, seen=7) == _numbers(prompts=2, rows=50) + 7


def test_numbers_of_two_bytes_take_half():
    half = costs.chunk_bytes(CONFIG, prompts=2, tokens=10, rows=50, number_bytes=2)
    assert half == 2 * _numbers(prompts=2, rows=50)


def test_what_many_prompts_begin_with_may_be_kept_twice():
    deep = ModelConfig(
        layers=30, width=16, kv_heads=2, group=2, head_width=8, neurons=20,
        vocabulary=9, context=50, rotary_width=8,
    )  # fmt: skip
    assert costs.chunk_bytes(deep, prompts=1, tokens=10) == 4 * 10 * 2 * 960
