"""Remembered indicators: the same answer, computed once, and never another column's."""

import numpy as np
import pytest

from abidance.indicators import recursions, trend
from abidance.indicators.memory import Memory, remembered, remembering
from abidance.indicators.trend import ema, ema_crossings


def column(seed: int, size: int = 400) -> np.ndarray:
    values = 100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.01, size)))
    values.flags.writeable = False
    return values


def test_the_same_columns_give_what_was_computed_before() -> None:
    calls = []

    @remembered
    def doubled(values: np.ndarray, times: int) -> np.ndarray:
        calls.append(times)
        return values * times

    values = column(1)
    with remembering(Memory()):
        first, again, other = doubled(values, 2), doubled(values, 2), doubled(values, 3)

    assert first is again
    assert calls == [2, 3]
    assert other[0] == 3 * values[0]


def test_outside_nothing_is_remembered() -> None:
    values = column(1)
    with remembering(Memory()):
        inside = ema(values, 5)

    assert ema(values, 5) is not inside
    assert ema(values, 5).flags.writeable


def test_what_is_remembered_cannot_be_changed() -> None:
    with remembering(Memory()):
        average = ema(column(1), 5)

    with pytest.raises(ValueError, match="read-only"):
        average[0] = 1.0


def test_a_column_that_may_change_is_computed_each_time() -> None:
    values = column(1).copy()

    with remembering(Memory()):
        before = ema(values, 5)[-1]
        values[-1] *= 2
        after = ema(values, 5)[-1]

    assert after != before


def test_a_column_in_the_place_of_a_dead_one_is_not_mistaken_for_it() -> None:
    with remembering(Memory()):
        for seed in range(50):
            values = column(seed)
            assert ema(values, 5)[-1] == ema.__wrapped__(values, 5)[-1]  # type: ignore[attr-defined]
            del values


def test_memory_stays_within_its_bound() -> None:
    memory = Memory(most_bytes=10 * 400 * 8)

    with remembering(memory):
        for seed in range(40):
            ema(column(seed), 5)

    assert memory._size <= 10 * 400 * 8
    assert len(memory._kept) == 10


@pytest.mark.parametrize(("fast", "slow"), [(3, 9), (9, 3), (1, 2), (20, 50), (5, 5)])
@pytest.mark.parametrize("missing", [0, 7])
def test_crossings_are_those_of_the_two_averages(fast: int, slow: int, missing: int) -> None:
    values = column(3).copy()
    values[:missing] = np.nan

    rows, above = ema_crossings(values, fast, slow)

    one, two = ema(values, fast), ema(values, slow)
    with np.errstate(invalid="ignore"):
        is_above = one > two
    known = ~(np.isnan(one) | np.isnan(two))
    turns = [t for t in range(1, 400) if known[t] and known[t - 1] and is_above[t] != is_above[t - 1]]
    assert rows.tolist() == turns
    assert above.tolist() == [float(is_above[t]) for t in turns]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("period", [1, 2, 20, 50, 399, 400, 500])
@pytest.mark.parametrize("missing", [0, 7, 400])
def test_compiled_averages_equal_the_others_but_for_a_last_bit(period: int, missing: int) -> None:
    for seed in range(5):
        values = column(seed).copy()
        values[:missing] = np.nan

        found, told = recursions.exponential(values, period), trend._ema(values, period)

        assert (
            np.allclose(found, told, rtol=1e-15, atol=0.0, equal_nan=True)
            or np.nanmax(np.abs(found - told) / np.spacing(told)) <= 2
        )


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("fast", "slow"), [(3, 9), (9, 3), (1, 2), (20, 50), (5, 5), (300, 399)])
def test_compiled_crossings_are_those_of_the_two_averages(fast: int, slow: int) -> None:
    for seed in range(5):
        values = column(seed)

        found = recursions.exponential_crossings(values, fast, slow)
        assert found is not None
        rows, above = found

        told = trend.crossings(trend._ema(values, fast), trend._ema(values, slow))
        assert (rows.tolist(), above.tolist()) == (told[0].tolist(), told[1].tolist())
