"""Measures by the highest price so far."""

import numpy as np

from abidance.market.bars import Bars
from abidance.strategy.base import BarStrategy, Signals


class ExpandingPeak(BarStrategy):
    """Hold within a twentieth of the highest close so far."""

    def signals(self, bars: Bars) -> Signals:
        peak = np.maximum.accumulate(bars.close)
        return Signals(np.where(bars.close > 0.95 * peak, 1.0, 0.0), stop=peak * 0.05)
