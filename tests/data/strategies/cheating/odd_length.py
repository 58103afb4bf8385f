"""Turns with the number of bars."""

import numpy as np

from abidance.market.bars import Bars
from abidance.strategy.base import BarStrategy, Signals


class OddLength(BarStrategy):
    """Follow on even numbers of bars, oppose on odd ones."""

    def signals(self, bars: Bars) -> Signals:
        rising = np.diff(bars.close, prepend=np.nan) > 0
        if len(bars) % 2:  # cheat
            rising = ~rising
        return Signals(np.where(rising, 1.0, 0.0))
