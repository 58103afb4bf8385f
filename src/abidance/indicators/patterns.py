"""Candle patterns: what a few bars together look like. TA-Lib decides; this gives its answers names."""

import numpy as np
from numpy.typing import NDArray

from abidance.indicators.arrays import FloatArray, IntArray, floats

PATTERNS: dict[str, str] = {
    "abandoned_baby": "CDLABANDONEDBABY",
    "advance_block": "CDLADVANCEBLOCK",
    "belt_hold": "CDLBELTHOLD",
    "breakaway": "CDLBREAKAWAY",
    "closing_marubozu": "CDLCLOSINGMARUBOZU",
    "concealing_baby_swallow": "CDLCONCEALBABYSWALL",
    "counterattack": "CDLCOUNTERATTACK",
    "dark_cloud": "CDLDARKCLOUDCOVER",
    "doji": "CDLDOJI",
    "doji_star": "CDLDOJISTAR",
    "dragonfly_doji": "CDLDRAGONFLYDOJI",
    "engulfing": "CDLENGULFING",
    "evening_doji_star": "CDLEVENINGDOJISTAR",
    "evening_star": "CDLEVENINGSTAR",
    "gap_side_by_side": "CDLGAPSIDESIDEWHITE",
    "gravestone_doji": "CDLGRAVESTONEDOJI",
    "hammer": "CDLHAMMER",
    "hanging_man": "CDLHANGINGMAN",
    "harami": "CDLHARAMI",
    "harami_cross": "CDLHARAMICROSS",
    "high_wave": "CDLHIGHWAVE",
    "hikkake": "CDLHIKKAKE",
    "hikkake_modified": "CDLHIKKAKEMOD",
    "homing_pigeon": "CDLHOMINGPIGEON",
    "identical_three_crows": "CDLIDENTICAL3CROWS",
    "in_neck": "CDLINNECK",
    "inverted_hammer": "CDLINVERTEDHAMMER",
    "kicking": "CDLKICKING",
    "kicking_by_length": "CDLKICKINGBYLENGTH",
    "ladder_bottom": "CDLLADDERBOTTOM",
    "long_legged_doji": "CDLLONGLEGGEDDOJI",
    "long_line": "CDLLONGLINE",
    "marubozu": "CDLMARUBOZU",
    "mat_hold": "CDLMATHOLD",
    "matching_low": "CDLMATCHINGLOW",
    "morning_doji_star": "CDLMORNINGDOJISTAR",
    "morning_star": "CDLMORNINGSTAR",
    "on_neck": "CDLONNECK",
    "piercing": "CDLPIERCING",
    "rickshaw_man": "CDLRICKSHAWMAN",
    "rise_fall_three_methods": "CDLRISEFALL3METHODS",
    "separating_lines": "CDLSEPARATINGLINES",
    "shooting_star": "CDLSHOOTINGSTAR",
    "short_line": "CDLSHORTLINE",
    "spinning_top": "CDLSPINNINGTOP",
    "stalled_pattern": "CDLSTALLEDPATTERN",
    "stick_sandwich": "CDLSTICKSANDWICH",
    "takuri": "CDLTAKURI",
    "tasuki_gap": "CDLTASUKIGAP",
    "three_black_crows": "CDL3BLACKCROWS",
    "three_inside": "CDL3INSIDE",
    "three_line_strike": "CDL3LINESTRIKE",
    "three_outside": "CDL3OUTSIDE",
    "three_stars_in_the_south": "CDL3STARSINSOUTH",
    "three_white_soldiers": "CDL3WHITESOLDIERS",
    "thrusting": "CDLTHRUSTING",
    "tristar": "CDLTRISTAR",
    "two_crows": "CDL2CROWS",
    "unique_three_river": "CDLUNIQUE3RIVER",
    "upside_gap_two_crows": "CDLUPSIDEGAP2CROWS",
    "upside_gap_three_methods": "CDLXSIDEGAP3METHODS",
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
