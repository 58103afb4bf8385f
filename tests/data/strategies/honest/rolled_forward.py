"""Rolls a column forward and wipes out what came round."""

import numpy as np

from abidance.market.bars import Bars
from abidance.strategy.base import BarStrategy, Signals
from abidance.strategy.parameters import Parameter


class RolledForward(BarStrategy):
    """Hold when the price is above that of some bars ago."""

    lag = Parameter(24, 1, 200)

    def signals(self, bars: Bars) -> Signals:
        before = np.roll(bars.close, self.lag)
        before[: self.lag] = np.nan
        return Signals(np.where(np.isnan(before), np.nan, bars.close > before))
