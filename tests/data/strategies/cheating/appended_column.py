"""Looks one bar ahead by leaving out the first row and filling up the end."""

import numpy as np

from abidance.market.bars import Bars
from abidance.strategy.base import BarStrategy, Signals


class AppendedColumn(BarStrategy):
    """Hold when the next open is higher than the close."""

    def signals(self, bars: Bars) -> Signals:
        return Signals(np.where(self._gap(bars) > 0, 1.0, 0.0))

    def _gap(self, bars: Bars) -> np.ndarray:
        opens = np.append(bars.open[1:], bars.open[-1])  # cheat
        gap: np.ndarray = opens - bars.close
        return gap
