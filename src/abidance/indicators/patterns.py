"""Candle patterns: what a few bars together look like. TA-Lib decides; this gives its answers names."""

import numpy as np
from numpy.typing import NDArray

from abidance.indicators.arrays import FloatArray, IntArray, floats

PATTERNS: dict[str, str] = {
    "dark_cloud": "CDLDARKCLOUDCOVER",
    "engulfing": "CDLENGULFING",
    "evening_star": "CDLEVENINGSTAR",
    "hammer": "CDLHAMMER",
    "harami": "CDLHARAMI",
    "inverted_hammer": "CDLINVERTEDHAMMER",
    "morning_star": "CDLMORNINGSTAR",
    "piercing": "CDLPIERCING",
    "shooting_star": "CDLSHOOTINGSTAR",
    "three_black_crows": "CDL3BLACKCROWS",
    "three_white_soldiers": "CDL3WHITESOLDIERS",
}


def pattern(name: str, open_: FloatArray, high: FloatArray, low: FloatArray, close: FloatArray) -> IntArray:
    """Return 1 where the pattern ends bullish, -1 where it ends bearish, else 0.

    `name` is one of PATTERNS. Raises KeyError for any other.
    """
    import talib

    found = getattr(talib, PATTERNS[name])(floats(open_), floats(high), floats(low), floats(close))
    direction: IntArray = np.sign(found).astype(np.int64)
    return direction


def any_pattern(
    names: tuple[str, ...], open_: FloatArray, high: FloatArray, low: FloatArray, close: FloatArray
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return two boolean columns: where any of the patterns is bullish, and where any is bearish."""
    bullish = np.zeros(len(close), dtype=bool)
    bearish = np.zeros(len(close), dtype=bool)
    for name in names:
        found = pattern(name, open_, high, low, close)
        bullish |= found > 0
        bearish |= found < 0
    return bullish, bearish
