"""Longer bars and another instrument, aligned as they became known."""

import numpy as np

from abidance.indicators.trend import sma
from abidance.market.bars import Bars
from abidance.strategy.base import BarStrategy, Signals


class TwoClocks(BarStrategy):
    """Hold when the day and Bitcoin's last four hours agree."""

    references = ("BTC/USDT@BINANCE",)

    @property
    def warmup(self) -> int:
        return 24 * 12

    def signals(self, bars: Bars) -> Signals:
        days = bars.higher("1d")
        above = bars.align(days, days.close - sma(days.close, 10)) > 0
        bitcoin = bars.other("BTC/USDT@BINANCE").higher("4h")
        count = len(bitcoin)
        rose = bars.align(bitcoin, np.append(np.nan, np.diff(bitcoin.close))[:count]) > 0
        tags = ["both" if both else "" for both in above & rose]
        return Signals(np.where(above & rose, 1.0, 0.0), tag=tags)
