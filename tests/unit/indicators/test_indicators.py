"""Every indicator: prefix-stable bit for bit, harmless on short and empty input, and right."""

import subprocess
import sys
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abidance.indicators.arrays import FloatArray, previous
from abidance.indicators.momentum import macd, rate_of_change, rsi
from abidance.indicators.patterns import PATTERNS, any_pattern, pattern
from abidance.indicators.trend import donchian, ema, ema_from_mean, highest, lowest, sma, supertrend
from abidance.indicators.volatility import atr, atr_distance, bollinger, realised_volatility, true_range
from abidance.model.errors import StrategyError

Candles = tuple[FloatArray, FloatArray, FloatArray, FloatArray]
Indicator = Callable[[FloatArray, FloatArray, FloatArray, FloatArray], object]

INDICATORS: dict[str, Indicator] = {
    "sma": lambda o, h, low, c: sma(c, 7),
    "ema": lambda o, h, low, c: ema(c, 9),
    "ema of one bar": lambda o, h, low, c: ema(c, 1),
    "ema_from_mean": lambda o, h, low, c: ema_from_mean(c, 9),
    "highest": lambda o, h, low, c: highest(h, 11),
    "highest of one bar": lambda o, h, low, c: highest(h, 1, before=True),
    "lowest before": lambda o, h, low, c: lowest(low, 11, before=True),
    "donchian": lambda o, h, low, c: donchian(h, low, 13),
    "supertrend": lambda o, h, low, c: supertrend(h, low, c, 10, 3.0),
    "rsi": lambda o, h, low, c: rsi(c, 14),
    "macd": lambda o, h, low, c: macd(c, 12, 26, 9),
    "rate_of_change": lambda o, h, low, c: rate_of_change(c, 5),
    "true_range": lambda o, h, low, c: true_range(h, low, c),
    "atr": lambda o, h, low, c: atr(h, low, c, 14),
    "atr_distance": lambda o, h, low, c: atr_distance(h, low, c, 14, 2.5),
    "bollinger": lambda o, h, low, c: bollinger(c, 20, 2.0),
    "realised_volatility": lambda o, h, low, c: realised_volatility(c, 24, 8760.0),
    "any_pattern": lambda o, h, low, c: any_pattern(tuple(PATTERNS), o, h, low, c),
    **{f"pattern {name}": partial(pattern, name) for name in PATTERNS},
}


def candles(seed: int, length: int, scale: float = 1.0) -> Candles:
    """Make bars that walk, gap, spike and stand still."""
    random = np.random.default_rng(seed)
    steps = random.standard_normal(length) * 0.01
    steps[random.random(length) < 0.1] = 0.0
    close = scale * 100 * np.exp(np.cumsum(steps))
    gaps = np.where(random.random(length) < 0.1, 1 + random.standard_normal(length) * 0.02, 1.0)
    open_ = np.concatenate((close[:1], close[:-1])) * np.abs(gaps)
    reach = np.abs(random.standard_normal((2, length))) * 0.005 * (random.random(length) < 0.9)
    high, low = np.maximum(open_, close) * (1 + reach[0]), np.minimum(open_, close) * (1 - reach[1] / 2)
    return open_, high, low, close


def columns(result: object) -> list[np.ndarray]:
    return [np.asarray(column) for column in (result if isinstance(result, tuple) else (result,))]


@pytest.mark.parametrize("name", INDICATORS)
@settings(max_examples=25)
@given(seed=st.integers(0, 2**32), length=st.integers(0, 160), share=st.floats(0, 1))
def test_the_values_of_a_prefix_are_the_prefix_of_the_values(
    name: str, seed: int, length: int, share: float
) -> None:
    data = candles(seed, length)
    cut = int(share * length)

    whole = columns(INDICATORS[name](*data))
    part = columns(INDICATORS[name](*(column[:cut] for column in data)))

    for all_values, values in zip(whole, part, strict=True):
        assert len(all_values) == length
        assert values.tobytes() == all_values[:cut].tobytes()


@pytest.mark.parametrize("name", INDICATORS)
def test_leading_nans_delay_an_indicator_and_do_not_poison_it(name: str) -> None:
    data = candles(5, 300)
    late = tuple(np.concatenate((np.full(37, np.nan), column)) for column in data)

    with np.errstate(invalid="ignore"):
        found = columns(INDICATORS[name](*late))

    for expected, values in zip(columns(INDICATORS[name](*data)), found, strict=True):
        np.testing.assert_array_equal(values[37:], expected)


@pytest.mark.parametrize("name", INDICATORS)
def test_a_column_of_nans_stays_one(name: str) -> None:
    nothing = np.full(50, np.nan)

    found = columns(INDICATORS[name](nothing, nothing, nothing, nothing))

    for values in found:
        assert not np.any(np.nan_to_num(values))


@given(
    values=st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=80),
    period=st.integers(2, 60),
)
def test_ema_is_the_recursion_from_the_first_value(values: list[float], period: int) -> None:
    weight, average, expected = 2 / (period + 1), values[0], [values[0]]
    for value in values[1:]:
        average = (value - average) * weight + average
        expected.append(average)

    found = ema(np.array(values), period)

    assert np.isnan(found[: period - 1]).all()
    rounding = 1e-12 * max(values)
    np.testing.assert_allclose(found[period - 1 :], expected[period - 1 :], rtol=1e-12, atol=rounding)


@given(value=st.floats(1e-9, 1e9), period=st.integers(1, 300))
def test_the_ema_of_a_flat_price_is_exactly_that_price(value: float, period: int) -> None:
    found = ema(np.full(period + 20, value), period)

    assert (found[period - 1 :] == value).all()


def test_an_average_of_no_bars_is_refused() -> None:
    with pytest.raises(StrategyError, match="period of 0"):
        ema(np.ones(5), 0)


def test_a_channel_before_the_bar_does_not_hold_the_bar() -> None:
    high = np.array([1.0, 2.0, 9.0, 3.0, 4.0])

    top, _ = donchian(high, high, 2)

    np.testing.assert_array_equal(top, [np.nan, np.nan, 2.0, 9.0, 9.0])


def test_previous_is_nan_where_nothing_came_before() -> None:
    np.testing.assert_array_equal(previous(np.array([1.0, 2.0, 3.0]), 2), [np.nan, np.nan, 1.0])
    np.testing.assert_array_equal(previous(np.array([1.0]), 5), [np.nan])


def test_bands_hold_for_prices_of_a_hundred_millionth() -> None:
    _, _, _, close = candles(3, 400)

    upper, middle, lower = bollinger(close * 1e-10, 20, 2.0)

    deviation = np.array([close[row - 19 : row + 1].std() for row in range(19, 400)]) * 1e-10
    np.testing.assert_allclose((upper - middle)[19:], 2 * deviation, rtol=1e-6)
    np.testing.assert_allclose((middle - lower)[19:], 2 * deviation, rtol=1e-6)


def test_realised_volatility_is_the_deviation_of_log_returns_over_a_year() -> None:
    _, _, _, close = candles(4, 100)

    found = realised_volatility(close, 24, 8760)

    assert np.isnan(found[:24]).all()
    assert found[99] == pytest.approx(np.diff(np.log(close[75:])).std() * np.sqrt(8760))


def test_supertrend_stands_below_the_close_in_an_uptrend_and_above_it_in_a_downtrend() -> None:
    _, high, low, close = candles(8, 2000)

    line, trend = supertrend(high, low, close, 10, 2.0)

    assert set(trend.tolist()) == {-1, 0, 1}
    assert (line[trend > 0] <= close[trend > 0]).all()
    assert (line[trend < 0] >= close[trend < 0]).all()


def test_an_atr_distance_is_nan_while_nothing_has_moved() -> None:
    flat = np.full(40, 7.0)

    assert atr(flat, flat, flat, 14)[20] == 0
    assert np.isnan(atr_distance(flat, flat, flat, 14, 2.0)).all()


def test_a_bullish_engulfing_bar_is_found_where_it_ends() -> None:
    open_, close = np.full(30, 100.0), np.full(30, 101.0)
    open_[-2:], close[-2:] = (102.0, 99.0), (100.5, 103.0)

    found = pattern("engulfing", open_, np.maximum(open_, close) + 1, np.minimum(open_, close) - 1, close)

    assert found[-1] == 1
    assert not found[:-1].any()


def test_importing_the_room_does_not_import_ta_lib() -> None:
    code = "import sys, abidance.strategy.library, abidance.run.plugins; sys.exit('talib' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
