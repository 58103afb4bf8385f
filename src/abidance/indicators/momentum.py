"""Oscillators and rates of change: how fast the price has been going."""

import numpy as np

from abidance.indicators.arrays import FloatArray, floats, previous
from abidance.indicators.memory import remembered


@remembered
def rsi(values: FloatArray, period: int) -> FloatArray:
    """Return the relative strength index in [0, 100], with Wilder's smoothing."""
    import talib

    return talib.RSI(floats(values), period)


@remembered
def macd(
    values: FloatArray, fast: int, slow: int, smoothing: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the difference of two exponential averages, its own average, and the distance between both."""
    import talib

    return talib.MACD(floats(values), fast, slow, smoothing)


@remembered
def rate_of_change(values: FloatArray, period: int) -> FloatArray:
    """Return the change over `period` bars as a share of the value then: 0.1 is a tenth more."""
    column = floats(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        change: FloatArray = column / previous(column, period) - 1.0
    return change
