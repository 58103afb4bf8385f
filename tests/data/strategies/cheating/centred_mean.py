"""Smooths with a window that lies half ahead."""

import numpy as np

from abidance.market.bars import Bars
from abidance.strategy.base import BarStrategy, Signals


class CentredMean(BarStrategy):
    """Hold above a centred average."""

    @property
    def warmup(self) -> int:
        return 21

    def signals(self, bars: Bars) -> Signals:
        kernel = np.full(21, 1 / 21)
        mean = np.convolve(bars.close, kernel, mode="same")  # cheat
        return Signals(np.where(bars.close < mean, 1.0, 0.0))
