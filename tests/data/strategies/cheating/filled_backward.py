"""Fills the holes of a column with what comes after them."""

import numpy as np
import polars as pl

from abidance.market.bars import Bars
from abidance.strategy.base import BarStrategy, Signals


class FilledBackward(BarStrategy):
    """Hold when the last bar with a large volume rose."""

    def signals(self, bars: Bars) -> Signals:
        usual = np.r_[np.nan, bars.volume[:-1]]
        change = np.where(bars.volume > 2 * usual, bars.close - bars.open, np.nan)
        filled = pl.Series(change, nan_to_null=True).fill_null(strategy="backward")  # cheat
        return Signals(np.where(filled.fill_null(0.0).to_numpy() > 0, 1.0, 0.0))
