"""Averages, channels and trailing lines: where the price has been going."""

import numpy as np

from abidance.indicators import recursions
from abidance.indicators.arrays import FloatArray, IntArray, floats, previous
from abidance.indicators.memory import remembered
from abidance.model.errors import StrategyError


@remembered
def sma(values: FloatArray, period: int) -> FloatArray:
    """Return the mean of the last `period` values."""
    import talib

    return talib.SMA(floats(values), period)


@remembered
def ema(values: FloatArray, period: int) -> FloatArray:
    """Return the exponential average with weight 2 / (period + 1), seeded by the first value.

    The recursion runs from the first value on; the first `period` - 1 results are NaN. `ema_from_mean` is the other
    customary seed. Raises StrategyError for a period below 1.
    """
    if period < 1:
        raise StrategyError(f"ema() got a period of {period}.", "Give 1 or more bars.")
    column = floats(values)
    return recursions.exponential(column, period) if recursions.are_used() else _ema(column, period)


def _ema(column: FloatArray, period: int) -> FloatArray:
    import talib

    average = np.full(len(column), np.nan)
    known = ~np.isnan(column)
    if not known.any():
        return average
    start = int(np.argmax(known))
    seed = column[start]
    # TA-Lib seeds with the mean of `period` values, and a mean of equal values may miss them by a rounding error.
    # So a lead-in of seeds goes before the column, and its last value is chosen to land on the seed exactly.
    lead_in = np.full(period + 1, seed)
    reached = talib.EMA(lead_in[:period], period)[-1]
    lead_in[period] = reached + (seed - reached) * (period + 1) / 2
    average[start:] = talib.EMA(np.concatenate((lead_in, column[start + 1 :])), period)[period:]
    average[start : start + period - 1] = np.nan
    return average


@remembered
def ema_crossings(values: FloatArray, fast: int, slow: int) -> tuple[IntArray, FloatArray]:
    """Return the rows where `ema` of `fast` crosses that of `slow`, and 1 where it is above then, 0 where it is not.

    The same as asking for both averages and comparing them, in a fraction of the time.
    """
    column = floats(values)
    if min(fast, slow) >= 1 and recursions.are_used() and len(column):
        found = recursions.exponential_crossings(column, fast, slow)
        if found is not None:
            return found
    return crossings(ema(column, fast), ema(column, slow))


def crossings(fast: FloatArray, slow: FloatArray) -> tuple[IntArray, FloatArray]:
    """Return the rows where `fast` comes to stand above `slow` (1) or no longer does (0)."""
    known, above = ~(np.isnan(fast) | np.isnan(slow)), fast > slow
    rows = np.flatnonzero(known[1:] & known[:-1] & (above[1:] != above[:-1])) + 1
    return rows, above[rows].astype(np.float64)


@remembered
def ema_from_mean(values: FloatArray, period: int) -> FloatArray:
    """Return the exponential average with weight 2 / (period + 1), seeded by the mean of the first `period` values."""
    import talib

    return talib.EMA(floats(values), period)


@remembered
def highest(values: FloatArray, period: int, *, before: bool = False) -> FloatArray:
    """Return the largest of the last `period` values; with `before`, of those that came before this one."""
    import talib

    result = talib.MAX(floats(values), period) if period > 1 else floats(values).copy()
    return previous(result) if before else result


@remembered
def lowest(values: FloatArray, period: int, *, before: bool = False) -> FloatArray:
    """Return the smallest of the last `period` values; with `before`, of those that came before this one."""
    import talib

    result = talib.MIN(floats(values), period) if period > 1 else floats(values).copy()
    return previous(result) if before else result


def donchian(
    high: FloatArray, low: FloatArray, period: int, *, before: bool = True
) -> tuple[FloatArray, FloatArray]:
    """Return the highest high and the lowest low of `period` bars, by default of those before the current one."""
    return highest(high, period, before=before), lowest(low, period, before=before)


@remembered
def supertrend(
    high: FloatArray, low: FloatArray, close: FloatArray, period: int, multiple: float
) -> tuple[FloatArray, IntArray]:
    """Return the trailing line `multiple` average true ranges behind the price, and the trend it stands for.

    The trend is 1 above the line, -1 below it, and 0 while there is not enough history.
    """
    import talib

    line, trend = talib.SUPERTREND(floats(high), floats(low), floats(close), period, multiple)
    return line, trend.astype(np.int64)
