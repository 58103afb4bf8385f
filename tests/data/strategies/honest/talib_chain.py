"""Indicators of indicators, each looking back only."""

import numpy as np
import talib

from abidance.market.bars import Bars
from abidance.strategy.base import BarStrategy, Signals


class TalibChain(BarStrategy):
    """Hold when a smoothed oscillator of the typical price rises from below."""

    @property
    def warmup(self) -> int:
        return 250

    def signals(self, bars: Bars) -> Signals:
        typical = talib.TYPPRICE(bars.high, bars.low, bars.close)
        oscillator = talib.RSI(talib.EMA(typical, 5), 14)
        slow, fast = talib.SMA(oscillator, 9), talib.WMA(oscillator, 4)
        upper, _, lower = talib.BBANDS(bars.close, 20)
        width = np.where(upper - lower > 0, upper - lower, np.nan)
        return Signals(Signals.crossing(fast, slow), stop=width, confidence=np.clip(oscillator / 100, 0, 1))
