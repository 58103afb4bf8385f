"""Knows the highest price that is still to come."""

import numpy as np

from abidance.market.bars import Bars
from abidance.strategy.base import BarStrategy, Signals


class FutureExtreme(BarStrategy):
    """Hold while the price will still rise by a tenth."""

    def signals(self, bars: Bars) -> Signals:
        peak = np.maximum.accumulate(bars.high[::-1])[::-1]  # cheat
        return Signals(np.where(peak > bars.close * 1.1, 1.0, 0.0))
