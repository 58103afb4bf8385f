"""Crossings of two averages over a long column, which compiled code takes in four parts at once."""

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


@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_a_part_whose_averages_began_otherwise_is_taken_again(quarter: int) -> None:
    # an average that falls onto a level price stays a last bit above it for good; one that begins there does not
    values, edge = walk(3), quarter * LONG // 4
    values[edge - 2_500 : edge + 3_000] = 77.77

    assert_same(values, 20, 50)


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
