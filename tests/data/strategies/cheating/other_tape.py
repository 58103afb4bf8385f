"""Reads another instrument's bars beyond the moment."""

import numpy as np

from abidance.market.bars import Bars
from abidance.strategy.base import BarStrategy, Signals


class OtherTape(BarStrategy):
    """Hold when Bitcoin rises in the hour to come."""

    references = ("BTC/USDT@BINANCE",)

    def signals(self, bars: Bars) -> Signals:
        bitcoin = bars.universe["BTC/USDT@BINANCE"]
        row = np.searchsorted(bitcoin.ts, bars.ts)
        later = bitcoin.close[np.minimum(row + 1, len(bitcoin) - 1)]  # cheat
        return Signals(np.where(later > bitcoin.close[row], 1.0, 0.0))
