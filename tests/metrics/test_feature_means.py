"""Effects of places, letters and what was seen: sums of them, however many the rows."""

import numpy as np
import pytest

from mcq_jax.metrics.feature_means import (
    LETTER,
    PLACE,
    SEEN,
    Features,
    fitted_means,
    unknown_rows,
)


def _latin_squares(copies: int) -> Features:
    """Four lines, every letter on every place, the right option seen or not."""
    place = np.tile(np.arange(4), 8)
    letter = np.concatenate([np.roll(np.arange(4), n) for n in range(4)] * 2)
    seen = place > np.repeat([0, 2], 16)
    return Features(
        place=np.tile(place, copies), letter=np.tile(letter, copies),
        seen=np.tile(seen, copies), places=4, letters=4,
    )  # fmt: skip


@pytest.mark.parametrize("copies", [1, 8, 24, 96, 500])
@pytest.mark.parametrize("terms", [(PLACE,), (PLACE, LETTER), (PLACE, LETTER, SEEN)])
def test_more_of_the_same_rows_fit_the_same_sums(copies: int, terms):
    """A place's columns sum to the mean's, so they are dependent: no rounding of many
    rows may count as a direction."""
    one, many = _latin_squares(1), _latin_squares(copies)
    own = {
        PLACE: np.array([0.0, 3.0, -1.0, 5.0])[one.place],
        LETTER: np.array([2.0, 0.0, 0.5, -4.0])[one.letter],
        SEEN: -7.0 * one.seen if one.seen is not None else 0,
    }
    x = sum((own[term] for term in terms), np.zeros(len(one.place)))
    effects = fitted_means(np.tile(x, copies), many, terms)
    np.testing.assert_allclose(one.design(terms) @ effects, x, atol=1e-9)
    assert not unknown_rows(many, one, terms).any()
    assert many.dimensions(terms) == 3 * (1 + (LETTER in terms)) + (SEEN in terms)


def test_a_letter_where_no_row_had_it_is_no_sum_of_cells():
    rows = _latin_squares(1)
    without = (rows.place != 2) | (rows.letter != 1)
    fitted = Features(
        place=rows.place[without], letter=rows.letter[without], places=4, letters=4
    )
    missing = unknown_rows(fitted, rows, ("cell",))
    np.testing.assert_array_equal(missing, ~without)
    assert not unknown_rows(fitted, rows, (PLACE, LETTER)).any()
