"""Buys at the lowest price of all."""

import numpy as np

from abidance.market.bars import Bars
from abidance.strategy.base import BarStrategy, Signals


class LowestOfAll(BarStrategy):
    """Buy the low and sell the high after it."""

    def signals(self, bars: Bars) -> Signals:
        target = np.full(len(bars), np.nan)
        low = int(np.argmin(bars.close))  # cheat
        target[low] = 1.0
        return Signals(target)
