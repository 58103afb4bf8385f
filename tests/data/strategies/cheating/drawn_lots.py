"""Decides by chance."""

import numpy as np

from abidance.market.bars import Bars
from abidance.strategy.base import BarStrategy, Signals


class DrawnLots(BarStrategy):
    """Hold now and then."""

    def signals(self, bars: Bars) -> Signals:
        lots = np.random.random(len(bars))  # cheat  # noqa: NPY002
        return Signals(np.where(lots > 0.5, 1.0, 0.0))
