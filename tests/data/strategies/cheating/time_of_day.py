"""Decides by the clock on the wall, not by the time of the bar."""

from datetime import datetime

import numpy as np

from abidance.market.bars import Bars
from abidance.strategy.base import BarStrategy, Signals


class TimeOfDay(BarStrategy):
    """Hold above a threshold that depends on the month in which it is asked."""

    def signals(self, bars: Bars) -> Signals:
        change = np.diff(bars.close, prepend=np.nan) / bars.close
        now = datetime.now()  # cheat  # noqa: DTZ005
        return Signals(np.where(change > now.month / 10_000, 1.0, 0.0))
