"""Keeps in the instance what an earlier call saw."""

import numpy as np

from abidance.market.bars import Bars
from abidance.strategy.base import BarStrategy, Signals


class KeptPeak(BarStrategy):
    """Hold on each bar after an odd number of calls."""

    def __init__(self) -> None:
        self.calls = 0

    def signals(self, bars: Bars) -> Signals:
        self.calls += 1  # cheat
        rising = np.diff(bars.close, prepend=np.nan) > 0
        return Signals(np.where(rising if self.calls % 2 else ~rising, 1.0, 0.0))
