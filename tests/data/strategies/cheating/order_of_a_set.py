"""Decides by the order of a set of texts, which is another in each process."""

import numpy as np

from abidance.market.bars import Bars
from abidance.strategy.base import BarStrategy, Signals


class OrderOfASet(BarStrategy):
    """Follow the name that comes first."""

    def signals(self, bars: Bars) -> Signals:
        names = {"open", "high", "low", "volume", "close", *(f"none{i}" for i in range(60))}
        weight = hash("".join(names)) % 997 / 997  # cheat
        change = np.diff(bars.close, prepend=np.nan) / bars.close
        return Signals(np.where(change > weight / 100, 1.0, 0.0))
