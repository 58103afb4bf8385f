"""Looks three bars ahead with a negative shift of a frame."""

import numpy as np
import polars as pl

from abidance.market.bars import Bars
from abidance.strategy.base import BarStrategy, Signals
from abidance.strategy.parameters import Parameter


class PolarsShift(BarStrategy):
    """Hold when the price of three bars later is higher."""

    ahead = Parameter(3, 1, 10)

    def signals(self, bars: Bars) -> Signals:
        frame = pl.DataFrame({"close": bars.close})
        frame = frame.with_columns(
            later=pl.col("close").shift(-self.ahead),  # cheat
        )
        rising = (frame["later"] > frame["close"]).fill_null(value=False).to_numpy()
        return Signals(np.where(rising, 1.0, 0.0))
