"""Ranks each row among all rows."""

import numpy as np

from abidance.market.bars import Bars
from abidance.strategy.base import BarStrategy, Signals


class SortedRank(BarStrategy):
    """Hold on the tenth of the bars with the largest volume."""

    def signals(self, bars: Bars) -> Signals:
        order = np.argsort(bars.volume, kind="stable")  # cheat
        rank = np.empty(len(bars))
        rank[order] = np.arange(len(bars)) / len(bars)
        return Signals(np.where(rank > 0.9, 1.0, 0.0))
