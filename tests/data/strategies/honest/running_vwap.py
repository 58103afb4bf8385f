"""Compares with the volume-weighted price since the history began."""

import numpy as np

from abidance.market.bars import Bars
from abidance.strategy.base import BarStrategy, Signals


class RunningVwap(BarStrategy):
    """Hold above the average price that all volume so far has paid."""

    def signals(self, bars: Bars) -> Signals:
        paid = np.cumsum(bars.close * bars.volume)
        vwap = paid / np.cumsum(bars.volume)
        return Signals(np.where(bars.close > vwap, 1.0, 0.0))
