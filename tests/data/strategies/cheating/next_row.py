"""Reads the next row in a loop over rows."""

import numpy as np

from abidance.market.bars import Bars
from abidance.strategy.base import BarStrategy, Signals


class NextRow(BarStrategy):
    """Hold when the next low stays above this one."""

    def signals(self, bars: Bars) -> Signals:
        low, count = bars.low, len(bars)
        target = np.zeros(count)
        for i in range(count - 1):
            target[i] = 1.0 if low[i + 1] > low[i] else 0.0  # cheat
        return Signals(target)
