"""Features: the stream gives the bits of the batch, and the batch gives what the papers say."""

import math
import statistics
from itertools import pairwise

import numpy as np
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st

from abidance.indicators import estimators
from abidance.indicators.feature import VOLATILITY, Feature, discrepancy, talib_feature, volatility, windowed
from abidance.indicators.patterns import PATTERNS
from abidance.model.errors import StrategyError
from abidance.model.market import Bar
from tests.unit.market.series import BTC, a_series

OWN: dict[str, Feature] = {
    **{name: volatility(name, 12, 365.0) for name in [*VOLATILITY, "ewma"]},
    "close_to_close of two": volatility("close_to_close", 2),
    "yang_zhang of two": volatility("yang_zhang", 2),
    "discrepancy": discrepancy(20),
}


def market(seed: int, length: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    steps = random.standard_normal(length) * 0.01
    steps[random.random(length) < 0.1] = 0.0
    close = 100 * np.exp(np.cumsum(steps))
    open_ = np.concatenate((close[:1], close[:-1])) * (1 + random.standard_normal(length) * 0.001)
    high = np.maximum(open_, close) * (1 + np.abs(random.standard_normal(length)) * 0.004)
    low = np.minimum(open_, close) * (1 - np.abs(random.standard_normal(length)) * 0.004)
    volume = np.round(random.random(length) * 100, 3)
    other = close * (1 + random.standard_normal(length) * 0.0005)
    periods = random.integers(2, 20, length).astype(np.float64)
    columns = {"open": open_, "high": high, "low": low, "close": close, "volume": volume}
    return columns | {"other": other, "periods": periods}


def assert_equal_bits(feature: Feature, data: dict[str, np.ndarray]) -> None:
    columns = [data[name] for name in feature.inputs]

    batch = feature.batch(*columns)
    stream = feature.stream()
    stepwise = [stream.update(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]

    assert len(batch) == feature.outputs
    for position, column in enumerate(batch):
        np.testing.assert_array_equal(column, np.array([values[position] for values in stepwise]))


@pytest.mark.parametrize("function", talib.get_functions())
def test_every_function_of_talib_streams_the_bits_of_its_batch(function: str) -> None:
    assert_equal_bits(talib_feature(function), market(7, 180))


@pytest.mark.parametrize("name", OWN)
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), length=st.integers(1, 90))
def test_our_own_features_stream_the_bits_of_their_batch(name: str, seed: int, length: int) -> None:
    assert_equal_bits(OWN[name], market(seed, length))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), length=st.integers(1, 120), period=st.integers(2, 40))
def test_parameters_reach_batch_and_stream_alike(seed: int, length: int, period: int) -> None:
    assert_equal_bits(talib_feature("RSI", timeperiod=period), market(seed, length))
    assert_equal_bits(talib_feature("BBANDS", timeperiod=period, nbdevup=1.5), market(seed, length))


def test_a_feature_is_fed_by_bars_as_by_columns() -> None:
    bars = a_series(60)
    feature = volatility("garman_klass", 10)
    rows = zip(bars.ts.tolist(), *(column.tolist() for column in bars.columns()), strict=True)
    stream = feature.stream()

    stepwise = [stream.on_bar(Bar(BTC, "1h", *row))[0] for row in rows]

    np.testing.assert_array_equal(feature.over(bars)[0], stepwise)


def test_nothing_is_known_before_the_history_is_long_enough() -> None:
    stream = talib_feature("SMA", timeperiod=3).stream()

    values = [stream.update(value)[0] for value in (math.nan, 1.0, 2.0, 3.0, 4.0)]

    np.testing.assert_array_equal(values, [np.nan, np.nan, np.nan, 2.0, 3.0])


def test_a_stream_refuses_a_hole_in_its_values() -> None:
    stream = volatility("ewma", 5).stream()
    stream.update(1.0)

    with pytest.raises(StrategyError, match="whole"):
        stream.update(math.nan)


@pytest.mark.parametrize("wrong", ["NOSUCH", ""])
def test_an_unknown_function_is_refused(wrong: str) -> None:
    with pytest.raises(StrategyError, match="TA-Lib has no"):
        talib_feature(wrong)


def test_an_unknown_parameter_is_refused() -> None:
    with pytest.raises(StrategyError, match="TA-Lib has no RSI"):
        talib_feature("RSI", speed=3)


@pytest.mark.parametrize(("name", "period"), [("nosuch", 9), ("parkinson", 1), ("ewma", 0)])
def test_an_estimator_that_is_none_is_refused(name: str, period: int) -> None:
    with pytest.raises(StrategyError, match="no volatility estimator"):
        volatility(name, period)


def test_all_candle_patterns_of_talib_have_a_name() -> None:
    assert set(PATTERNS.values()) == {name for name in talib.get_functions() if name.startswith("CDL")}


def logs(data: dict[str, np.ndarray], over: str, under: str, rows: range, lag: int = 0) -> list[float]:
    return [math.log(data[over][row] / data[under][row - lag]) for row in rows]


def by_the_papers(data: dict[str, np.ndarray], last: int, period: int) -> dict[str, float]:
    """Compute each estimator of one window in plain arithmetic, as published."""
    rows = range(last - period + 1, last + 1)
    returns, body = logs(data, "close", "close", rows, 1), logs(data, "close", "open", rows)
    ranges, gaps = logs(data, "high", "low", rows), logs(data, "open", "close", rows, 1)
    up, down = logs(data, "high", "open", rows), logs(data, "low", "open", rows)
    inside = sum(u * (u - c) + d * (d - c) for u, d, c in zip(up, down, body, strict=True)) / period
    k = 0.34 / (1.34 + (period + 1) / (period - 1))
    variances = {
        "close_to_close": statistics.variance(returns),
        "parkinson": sum(r * r for r in ranges) / (4 * period * math.log(2)),
        "garman_klass": sum(
            r * r / 2 - (2 * math.log(2) - 1) * c * c for r, c in zip(ranges, body, strict=True)
        )
        / period,
        "rogers_satchell": inside,
        "yang_zhang": statistics.variance(gaps) + k * statistics.variance(body) + (1 - k) * inside,
    }
    return {name: math.sqrt(variance * 365) for name, variance in variances.items()}


def test_the_estimators_are_those_of_the_papers() -> None:
    data = market(11, 60)

    for last in (12, 30, 59):
        expected = by_the_papers(data, last, 12)
        for name, value in expected.items():
            feature = volatility(name, 12, 365.0)
            found = feature.batch(*(data[column] for column in feature.inputs))[0]
            assert found[last] == pytest.approx(value, rel=1e-12), name


def test_estimators_agree_on_a_driftless_walk_seen_closely() -> None:
    random = np.random.default_rng(3)
    steps = random.standard_normal((4_000, 500)) * 0.01 / math.sqrt(500)
    paths = np.exp(np.cumsum(steps, axis=1))
    starts = np.cumprod(np.r_[1.0, paths[:-1, -1]])
    open_, close = starts, starts * paths[:, -1]
    high, low = starts * np.maximum(paths.max(axis=1), 1), starts * np.minimum(paths.min(axis=1), 1)
    data = {"open": open_, "high": high, "low": low, "close": close}

    for name in VOLATILITY:
        feature = volatility(name, 4_000 - 1)
        assert feature.batch(*(data[column] for column in feature.inputs))[0][-1] == pytest.approx(
            0.01, rel=0.06
        )


def test_the_exponential_volatility_is_the_recursion_from_the_first_return() -> None:
    close = [100.0, 101.0, 99.0, 99.5]
    returns = [math.log(now / before) ** 2 for before, now in pairwise(close)]

    found = estimators.ewma(np.array(close), 0.9)

    second = 0.9 * returns[0] + 0.1 * returns[1]
    third = 0.9 * second + 0.1 * returns[2]
    np.testing.assert_allclose(found[1:], np.sqrt([returns[0], second, third]), rtol=1e-14)
    assert math.isnan(found[0])


@pytest.mark.parametrize("name", [*VOLATILITY, "ewma"])
def test_a_flat_price_has_no_volatility(name: str) -> None:
    feature = volatility(name, 5)

    found = feature.batch(*(np.full(20, 3.3) for _ in feature.inputs))[0]

    assert found[-1] == 0


@pytest.mark.parametrize("name", VOLATILITY)
def test_a_price_that_is_none_spoils_only_the_windows_that_hold_it(name: str) -> None:
    data = market(2, 60)
    feature = volatility(name, 5)
    clean = feature.batch(*(data[column] for column in feature.inputs))[0]
    for column in ("open", "high", "low", "close"):
        data[column][20] = 0.0

    found = feature.batch(*(data[column] for column in feature.inputs))[0]

    assert np.isnan(found[20])
    np.testing.assert_array_equal(found[27:], clean[27:])


def test_the_discrepancy_of_venues_is_their_log_ratio_and_its_distance_from_usual() -> None:
    data = market(4, 40)

    ratio, score = discrepancy(10).batch(data["close"], data["other"])

    window = [math.log(data["close"][row] / data["other"][row]) for row in range(30, 40)]
    assert ratio[39] == pytest.approx(window[-1], rel=1e-12)
    expected = (window[-1] - statistics.mean(window)) / statistics.stdev(window)
    assert score[39] == pytest.approx(expected, rel=1e-9)


def test_a_function_of_ones_own_becomes_a_feature() -> None:
    feature = windowed("range", lambda high, low: high - low, ("high", "low"), 1)

    assert_equal_bits(feature, market(1, 20))
