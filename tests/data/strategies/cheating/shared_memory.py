"""Keeps in the class what the first call saw, so that later calls know it."""

import numpy as np

from abidance.market.bars import Bars
from abidance.strategy.base import BarStrategy, Signals

PEAKS: dict[str, float] = {}


class SharedMemory(BarStrategy):
    """Hold below half of the highest price that any call has seen."""

    def signals(self, bars: Bars) -> Signals:
        if bars.instrument not in PEAKS:
            PEAKS[bars.instrument] = float(bars.close.max())  # cheat
        return Signals(np.where(bars.close < PEAKS[bars.instrument] / 2, 1.0, 0.0))
