"""A moving average and deviation from running sums, and a loop with a memory of its own."""

import numpy as np

from abidance.market.bars import Bars
from abidance.strategy.base import BarStrategy, Signals

LENGTHS = {"fast": 20, "slow": 60}


class CumulatedMean(BarStrategy):
    """Buy well below the mean, sell at it, bar by bar."""

    @property
    def warmup(self) -> int:
        return max(LENGTHS.values()) + 1

    def signals(self, bars: Bars) -> Signals:
        length = LENGTHS["slow"]
        sums = np.cumsum(np.r_[0.0, bars.close])
        mean = np.full(len(bars), np.nan)
        mean[length - 1 :] = (sums[length:] - sums[:-length]) / length
        target, held = np.zeros(len(bars)), False
        for i in range(1, len(bars)):
            recent = bars.close[max(0, i - LENGTHS["fast"]) : i + 1]
            if not held and bars.close[i] < 0.97 * mean[i] and bars.close[i] > recent.min():
                held = True
            elif held and bars.close[i] > mean[i]:
                held = False
            target[i] = float(held)
        return Signals(target)
