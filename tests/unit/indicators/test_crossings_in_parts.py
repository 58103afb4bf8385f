"""Crossings of two averages over a long column, which compiled code takes in eight strips at once."""

import numpy as np
import pytest

from abidance.indicators import recursions, trend
from abidance.indicators.arrays import FloatArray

LONG = 40_000


@pytest.fixture(autouse=True)
def compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recursions, "_in_use", True)


def walk(seed: int, count: int = LONG) -> FloatArray:
    return np.round(100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 1e-3, count))), 2)


def one_by_one(values: FloatArray, fast: int, slow: int) -> tuple[list[int], list[float]]:
    """Return the crossings by the rule itself, a row at a time."""
    gains = 2.0 / (fast + 1), 2.0 / (slow + 1)
    one = two = float(values[0])
    rows, above, is_above = [], [], False
    for row, value in enumerate(values.tolist()):
        one, two = one + (value - one) * gains[0], two + (value - two) * gains[1]
        if (one > two) != is_above:
            is_above = not is_above
            if row >= max(fast, slow):
                rows.append(row)
                above.append(float(is_above))
    return rows, above


def assert_same(values: FloatArray, fast: int, slow: int) -> None:
    rows, above = trend.ema_crossings(values, fast, slow)

    expected = one_by_one(values, fast, slow)
    assert rows.tolist() == expected[0]
    assert above.tolist() == expected[1]


@pytest.mark.parametrize(("fast", "slow"), [(20, 50), (50, 20), (2, 5), (1, 30), (7, 7)])
@pytest.mark.parametrize("count", [LONG, LONG + 3, 1, 2, 60])
def test_crossings_are_those_that_each_row_in_turn_gives(fast: int, slow: int, count: int) -> None:
    assert_same(walk(fast * slow, count), fast, slow)


@pytest.mark.parametrize("strip", [1, 2, 6, 7])
def test_a_strip_whose_averages_began_otherwise_is_taken_again(strip: int) -> None:
    # an average that falls onto a level price stays a last bit above it for good; one that begins there does not
    values, edge = walk(3), strip * LONG // 8
    values[edge - 2_500 : edge + 3_000] = 77.77

    assert_same(values, 20, 50)


def test_averages_that_cross_in_many_strips_at_once_are_told_in_the_order_of_rows() -> None:
    values = np.tile(walk(5, LONG // 8), 8)

    assert_same(values, 3, 8)


@pytest.mark.parametrize("count", [8 * 2 * 24 * 30 - 1, 8 * 2 * 24 * 30, 8 * 2 * 24 * 30 + 7])
def test_a_column_is_cut_into_strips_only_when_it_is_long_enough_for_their_beginnings(count: int) -> None:
    assert_same(walk(6, count), 10, 30)


def test_a_price_that_hardly_moves_crosses_as_often_as_it_does_row_by_row() -> None:
    values = np.full(LONG, 0.1)
    values[::997] += 0.01

    assert_same(values, 5, 40)


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 9_999, 17_000, LONG - 1])
def test_a_value_that_is_not_finite_leaves_the_crossings_to_the_plain_way(odd: float, row: int) -> None:
    values = walk(1)
    values[row] = odd

    found = recursions.exponential_crossings(values, 20, 50)

    assert found is None
