"""Ranges, bands and deviations: how far the price swings."""

import numpy as np

from abidance.indicators.arrays import FloatArray, floats, previous
from abidance.indicators.memory import remembered


@remembered
def true_range(high: FloatArray, low: FloatArray, close: FloatArray) -> FloatArray:
    """Return the range of each bar, the gap from the close before included; NaN in the first row."""
    import talib

    return talib.TRANGE(floats(high), floats(low), floats(close))


@remembered
def atr(high: FloatArray, low: FloatArray, close: FloatArray, period: int) -> FloatArray:
    """Return the average true range with Wilder's smoothing; 0 while nothing has ever moved."""
    import talib

    return talib.ATR(floats(high), floats(low), floats(close), period)


@remembered
def atr_distance(
    high: FloatArray, low: FloatArray, close: FloatArray, period: int, multiple: float
) -> FloatArray:
    """Return `multiple` average true ranges as an exit distance; NaN where there is no range to measure."""
    distance = atr(high, low, close, period) * multiple
    return np.where(distance > 0, distance, np.nan)


@remembered
def bollinger(values: FloatArray, period: int, width: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the bands `width` standard deviations above and below the mean: upper, middle, lower."""
    import talib

    return talib.BBANDS(floats(values), period, width, width)


@remembered
def realised_volatility(close: FloatArray, period: int, bars_per_year: float = 1.0) -> FloatArray:
    """Return the standard deviation of the last `period` log returns, scaled to a year of `bars_per_year` bars."""
    import talib

    column = floats(close)
    with np.errstate(divide="ignore", invalid="ignore"):
        returns = np.log(column / previous(column))
    deviation: FloatArray = talib.STDDEV(returns, period) * np.sqrt(bars_per_year)
    return deviation
