"""Generation from a cache equals recomputation of the whole row at every step."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mcq_jax.interventions import Edit, Site, add, patch
from mcq_jax.model import forward, generate, generation, read_by
from tests import tiny

CASES = [
    ("grouped heads, biases, partial rotation", (1, 1, 1)),
    ("one key head, plain feed-forward, all biases, no rotation", (1, 2)),
    *((case, (1, 2)) for case in tiny.FAMILIES),
]
GROUPED = tiny.CASES[CASES[0][0]]
# Prompts of different length in one padded batch; the padding is not zeros.
LENGTHS, COLUMNS, STEPS = (5, 2, 4), 5, 4
# Relative to the largest logit, in float32.
ROUNDING = 1e-5


@functools.cache
def _parameters(config, sizes=(1, 1, 1)):
    return tiny.random_parameters(config, sizes=sizes)


def _tokens(config):
    return tiny.random_tokens(config, len(LENGTHS), COLUMNS)


def _generate(config, sizes=(1, 1, 1), **options):
    return generate(
        _parameters(config, sizes),
        _tokens(config),
        np.array(LENGTHS),
        **{"config": config, "steps": STEPS, "keep_logits": True, **options},
    )


def _steering(config) -> Edit:
    direction = np.random.default_rng(0).normal(size=(2, 1, 1, config.width))
    return add(Site.RESID_MID, direction, layers=(0, 2))


def _recomputed(config, sizes, written, edits=()):
    """The logits that each written token is chosen from, without a cache.

    All rows in one pass; what is behind a row's end changes nothing before it.
    """
    whole = np.zeros((len(LENGTHS), COLUMNS + STEPS), np.int32)
    for row, length in enumerate(LENGTHS):
        whole[row, :length] = _tokens(config)[row, :length]
        whole[row, length : length + STEPS] = written[row]
    logits = forward(_parameters(config, sizes), whole, edits, config=config).logits
    ends = zip(logits, LENGTHS, strict=True)
    return [of_row[length - 1 : length - 1 + STEPS] for of_row, length in ends]


def _assert_equals_recomputation(found, row: int, expected):
    expected = expected[row]
    atol = ROUNDING * float(jnp.abs(expected).max())
    np.testing.assert_allclose(found.logits[row], expected, rtol=0, atol=atol)
    np.testing.assert_array_equal(found.tokens[row], expected.argmax(-1))


@pytest.mark.few
@pytest.mark.parametrize(
    ("case", "sizes", "is_steered"),
    [
        *(
            pytest.param(*case, case in CASES[:2], marks=tiny.marks_of(case[0]))
            for case in CASES
        ),
        *(pytest.param(*c, False, marks=pytest.mark.exhaustive) for c in CASES[:2]),
    ],
)
def test_greedy_generation_equals_recomputation(case: str, sizes, is_steered: bool):
    config = tiny.CASES[case]
    edits = [_steering(config)] * is_steered
    found = _generate(config, sizes, edits=edits)
    assert found.lengths.tolist() == [STEPS] * len(LENGTHS)
    expected = _recomputed(config, sizes, found.tokens, edits)
    for row in range(len(LENGTHS)):
        _assert_equals_recomputation(found, row, expected)


def test_steering_changes_what_is_written_after_the_prompt():
    plain, steered = (_generate(GROUPED, edits=e) for e in ((), [_steering(GROUPED)]))
    assert (plain.tokens != steered.tokens).any()


def _edits_in_places(columns: int) -> list[Edit]:
    """Edits of some positions and keys, for rows of `columns` tokens.

    Position 6 is generated in every row, position 3 in one; position axes of weights
    and keys end with the prompt's columns and are padded to the row's.
    """
    draw = np.random.default_rng(0).normal
    heads = (GROUPED.kv_heads, GROUPED.head_width)

    def padded(size: int):
        return np.pad(np.arange(COLUMNS) == size, (0, columns - COLUMNS)) * 1.0

    mlp = patch(
        Site.MLP_OUT, draw(size=(1, 1, 3, 10)), layers=(2,), positions=[1, 3, 6]
    )
    values = patch(
        Site.V, draw(size=(1, 1, 1, *heads)), weight=padded(1).reshape(1, 1, -1, 1, 1)
    )
    readers = np.arange(GROUPED.heads).reshape(1, GROUPED.kv_heads, -1) % 3 == 1
    keys = patch(
        Site.ROT_K, draw(size=(1, 1, 3, *heads)), layers=(1,), positions=[0, 3, 6]
    )
    scores = patch(
        Site.SCORES, 0.5, layers=(2,), weight=padded(1).reshape(1, 1, 1, 1, 1, -1)
    )
    final = add(Site.LOGITS, draw(size=(1, 1, 2, 13)), positions=[4, 7])
    return [mlp, values, read_by(keys, readers), scores, final]


@pytest.mark.slow
def test_edits_in_places_equal_recomputation():
    edits = _edits_in_places(COLUMNS)
    found = _generate(GROUPED, edits=edits)
    plain = _generate(GROUPED)
    row = 0  # of full length, so that its columns are its positions
    whole = _edits_in_places(LENGTHS[row] + STEPS)
    expected = _recomputed(GROUPED, (1, 1, 1), found.tokens, whole)
    _assert_equals_recomputation(found, row, expected)
    assert (found.logits != plain.logits).any(-1).all()


def test_a_short_rows_positions_count_from_its_start():
    row, positions = 1, [1, 2, 4]
    direction = _steering(GROUPED).value[:1]
    edit = add(Site.RESID_MID, direction, layers=(1,), positions=positions)
    found = _generate(GROUPED, edits=[edit])
    expected = _recomputed(GROUPED, (1, 1, 1), found.tokens, [edit])
    _assert_equals_recomputation(found, row, expected)


def test_rows_stop_at_a_stop_token_and_are_padded():
    plain = _generate(GROUPED).tokens
    stop = int(plain[0, 1])
    found = _generate(GROUPED, stop_ids=(stop,))
    for row, tokens in enumerate(np.asarray(plain)):
        stops = np.flatnonzero(tokens == stop)
        length = stops[0] + 1 if len(stops) else STEPS
        assert found.lengths[row] == length
        np.testing.assert_array_equal(found.tokens[row, :length], tokens[:length])
        assert (found.tokens[row, length:] == 0).all()
    assert found.lengths.min() < STEPS


def test_sampling_draws_from_the_softmax_at_its_temperature():
    config, rows, temperature = GROUPED, 2000, 2.0
    tokens = jnp.repeat(_tokens(config)[:1], rows, axis=0)
    sample = functools.partial(
        generate, _parameters(config), tokens, jnp.full(rows, COLUMNS), config=config
    )
    options = {"steps": 1, "temperature": temperature, "keep_logits": True}
    found = sample(key=jax.random.key(0), **options)
    counts = np.bincount(found.tokens[:, 0], minlength=config.vocabulary)
    assert found.logits is not None
    expected = jax.nn.softmax(found.logits[0, 0] / temperature)
    # Three standard deviations of the rarest and the commonest token's share.
    np.testing.assert_allclose(counts / rows, expected, atol=3 * 0.5 / rows**0.5)


def test_a_rows_samples_are_its_own():
    """They follow from the key and the row's number, whoever stands beside it."""
    options = {"key": jax.random.key(1), "temperature": 3.0}
    together = _generate(GROUPED, **options)
    alone = generate(
        _parameters(GROUPED),
        _tokens(GROUPED)[:1],
        np.array(LENGTHS[:1]),
        config=GROUPED,
        steps=STEPS,
        **options,
    )
    np.testing.assert_array_equal(alone.tokens[0], together.tokens[0])
    assert alone.logits is None
    other = _generate(GROUPED, key=jax.random.key(2), temperature=3.0)
    assert (other.tokens != together.tokens).any()


def test_values_of_edits_never_compile_anew():
    before = generation._generate._cache_size()  # pyright: ignore
    for factor in (1.0, 2.0):
        steering = _steering(GROUPED)
        edit = dataclasses.replace(steering, value=factor * steering.value)
        _generate(GROUPED, edits=[edit], keep_logits=False)
    assert generation._generate._cache_size() == before + 1  # pyright: ignore


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "0 steps; give at least 1"),
        ({"steps": 12}, "5 tokens and 12 steps for a context of 16"),
        ({"temperature": 0.5}, "temperature is 0.5 without a key"),
        ({"temperature": -1.0}, "temperature is -1.0; give 0"),
        ({"stop_ids": (3, 13)}, r"stop ids \[13\]; the vocabulary has 0 to 12"),
        (
            {"edits": [patch(Site.MLP_OUT, 0.0, positions=[9])]},
            "reach 9; prompts and steps end at 8",
        ),
        (
            {"edits": [read_by(patch(Site.K, 0.0), np.ones((1, 1, 1), bool))]},
            "earlier blocks keep only rotated keys",
        ),
    ],
)
def test_what_cannot_be_generated_is_refused(options, message: str):
    with pytest.raises(ValueError, match=message):
        _generate(GROUPED, **options)


@pytest.mark.parametrize("lengths", [[5, 0, 3], [6, 2, 3]])
def test_lengths_outside_the_prompts_are_refused(lengths):
    with pytest.raises(ValueError, match="lengths run from . to . in rows of 5"):
        generate(
            _parameters(GROUPED),
            _tokens(GROUPED),
            np.array(lengths),
            config=GROUPED,
            steps=1,
        )
