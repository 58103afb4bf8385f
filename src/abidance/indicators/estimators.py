"""Estimators of volatility from bars, and the discrepancy of two venues' prices.

All return standard deviations of log returns, of one bar or, scaled by `bars_per_year`, of a year. A value depends on
the last rows of its window alone and is summed oldest first, so that a stream of the same rows gives the same bits. A
price that is not positive gives NaN in every window that holds it.

Sources: Parkinson (1980), J. Business 53; Garman and Klass (1980), J. Business 53; Rogers and Satchell (1991),
Annals of Applied Probability 1; Yang and Zhang (2000), J. Business 73; RiskMetrics (1996) for the exponential weights.
"""

import math
from itertools import accumulate

import numpy as np

from abidance.indicators.arrays import FloatArray, floats, previous

_LN2 = math.log(2.0)


def close_to_close(close: FloatArray, period: int, bars_per_year: float = 1.0) -> FloatArray:
    """Return the sample deviation of the last `period` log returns; it sees nothing of what happens inside a bar."""
    column = floats(close)
    return _deviation(_variance(_log(column, previous(column)), period), bars_per_year)


def parkinson(high: FloatArray, low: FloatArray, period: int, bars_per_year: float = 1.0) -> FloatArray:
    """Return the volatility that the ranges of `period` bars imply; no drift and no gaps are assumed."""
    return _deviation(_mean(_log(high, low) ** 2, period) / (4.0 * _LN2), bars_per_year)


def garman_klass(
    open_: FloatArray,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    period: int,
    bars_per_year: float = 1.0,
) -> FloatArray:
    """Return the volatility that ranges and bodies of `period` bars imply; no drift and no gaps are assumed."""
    terms = 0.5 * _log(high, low) ** 2 - (2.0 * _LN2 - 1.0) * _log(close, open_) ** 2
    return _deviation(_mean(terms, period), bars_per_year)


def rogers_satchell(
    open_: FloatArray,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    period: int,
    bars_per_year: float = 1.0,
) -> FloatArray:
    """Return the volatility of `period` bars whatever their drift; no gaps are assumed."""
    return _deviation(_mean(_drift_free(open_, high, low, close), period), bars_per_year)


def yang_zhang(
    open_: FloatArray,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    period: int,
    bars_per_year: float = 1.0,
) -> FloatArray:
    """Return the volatility of `period` bars whatever their drift, the gaps between them included."""
    column = floats(close)
    gaps = _variance(_log(open_, previous(column)), period)
    bodies = _variance(_log(column, open_), period)
    inside = _mean(_drift_free(open_, high, low, column), period)
    share = 0.34 / (1.34 + (period + 1) / (period - 1)) if period > 1 else 0.0
    return _deviation(gaps + share * bodies + (1.0 - share) * inside, bars_per_year)


def ewma(close: FloatArray, decay: float = 0.94, bars_per_year: float = 1.0) -> FloatArray:
    """Return the volatility of which yesterday's variance is `decay` and today's squared return the rest.

    The first return begins it. Leading NaNs are skipped; a later one makes everything after it NaN.
    """
    column = floats(close).tolist()
    found = np.full(len(column), np.nan)
    start = next((at for at, value in enumerate(column) if not math.isnan(value)), len(column))
    pairs = zip(column[start:], column[start + 1 :], strict=False)
    squares = [squared_return(before, now) for before, now in pairs]
    if squares:
        variances = accumulate(squares, lambda before, now: decayed(before, now, decay))
        found[start + 1 :] = [math.sqrt(variance * bars_per_year) for variance in variances]
    return found


def squared_return(before: float, now: float) -> float:
    """Return the squared log return, NaN unless both prices are positive."""
    return math.log(now / before) ** 2 if before > 0 and now > 0 else math.nan


def decayed(variance: float | None, squared: float, decay: float) -> float:
    """Return the next variance of `ewma`."""
    return squared if variance is None else decay * variance + (1.0 - decay) * squared


def discrepancy(close: FloatArray, other: FloatArray, period: int) -> tuple[FloatArray, FloatArray]:
    """Return the log ratio of two venues' prices, and its distance from its mean over `period` in deviations of those.

    The distance is NaN where the ratio has not moved at all.
    """
    ratio = _log(close, other)
    deviation = np.sqrt(_variance(ratio, period))
    with np.errstate(divide="ignore", invalid="ignore"):
        score = np.where(deviation > 0, (ratio - _mean(ratio, period)) / deviation, np.nan)
    return ratio, score


def _drift_free(open_: FloatArray, high: FloatArray, low: FloatArray, close: FloatArray) -> FloatArray:
    terms: FloatArray = _log(high, close) * _log(high, open_) + _log(low, close) * _log(low, open_)
    return terms


def _log(over: FloatArray, under: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = floats(over) / floats(under)
        found: FloatArray = np.log(np.where((ratio > 0) & np.isfinite(ratio), ratio, np.nan))
    return found


def _mean(values: FloatArray, period: int) -> FloatArray:
    """Return the mean of the last `period` values, summed oldest first in every row; NaN where one of them is."""
    rows = len(values) - period + 1
    found = np.full(len(values), np.nan)
    if rows > 0:
        total = values[:rows].copy()
        for lag in range(1, period):
            total += values[lag : lag + rows]
        found[period - 1 :] = total / period
    return found


def _variance(values: FloatArray, period: int) -> FloatArray:
    """Return the sample variance of the last `period` values, in two passes."""
    found = np.full(len(values), np.nan)
    rows = len(values) - period + 1
    if rows > 0 and period > 1:
        middle = _mean(values, period)[period - 1 :]
        total = np.zeros(rows)
        for lag in range(period):
            total += (values[lag : lag + rows] - middle) ** 2
        found[period - 1 :] = total / (period - 1)
    return found


def _deviation(variance: FloatArray, bars_per_year: float) -> FloatArray:
    # Rounding can leave a variance of a flat price a hair below nothing.
    found: FloatArray = np.sqrt(np.maximum(variance, 0.0) * bars_per_year)
    return found
