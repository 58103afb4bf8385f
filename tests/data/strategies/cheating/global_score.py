"""Measures each row by the mean and the deviation of all rows."""

import numpy as np

from abidance.market.bars import Bars
from abidance.strategy.base import BarStrategy, Signals


class GlobalScore(BarStrategy):
    """Hold what is cheap by the standard of the whole history."""

    def signals(self, bars: Bars) -> Signals:
        logs = np.log(bars.close)
        middle = float(logs.mean())  # cheat
        score = logs - middle
        cheap, dear = score < 0.0, score > 0.1
        return Signals(Signals.entries(cheap, dear))
