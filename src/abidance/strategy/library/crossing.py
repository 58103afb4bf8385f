"""Trend following by crossing averages."""

import numpy as np

from abidance.indicators.momentum import macd
from abidance.indicators.trend import ema, ema_crossings
from abidance.market.bars import Bars, FloatArray
from abidance.model.errors import StrategyError
from abidance.model.instrument import timeframe_ns
from abidance.strategy.base import BarStrategy, Signals
from abidance.strategy.parameters import Parameter


def _check_order(strategy: "EmaCross | Macd | TrendFilter") -> None:
    if strategy.fast >= strategy.slow:
        found, remedy = (
            f"fast = {strategy.fast} is not below slow = {strategy.slow}.",
            "Choose a shorter fast average.",
        )
        raise StrategyError(found, remedy, {"fast": f"{found} {remedy}"})


class EmaCross(BarStrategy):
    """Hold while the fast exponential average is above the slow one.

    Idea: a move that has lasted for some time tends to last a little longer.
    Market: long trends, on bars of an hour or more.
    Known failure: sideways markets, where each cross is late and the next one undoes it; costs grow with the number
    of crosses, so that on short bars they eat the gain.
    """

    fast = Parameter(20, 2, 200)
    slow = Parameter(50, 5, 500)
    short = Parameter(False)

    def check_parameters(self) -> None:
        """Refuse a fast average that is no faster than the slow one."""
        _check_order(self)

    @property
    def warmup(self) -> int:
        """Return the bar from which both averages of it and of the bar before are known."""
        return self.slow

    def signals(self, bars: Bars) -> Signals:
        """Enter where the fast average crosses above the slow one, leave or turn where it crosses below."""
        rows, above = ema_crossings(bars.close, self.fast, self.slow)
        return Signals.at(rows, 2 * above - 1 if self.short else above, len(bars), tag="ema cross")


class Macd(BarStrategy):
    """Hold while the MACD line is above its signal line.

    Idea: the distance between two averages turns before the averages cross.
    Market: trends with pauses, on bars of four hours or more.
    Known failure: it reacts to every pause, so that it trades several times as often as a plain cross and pays for it.
    """

    fast = Parameter(12, 2, 100)
    slow = Parameter(26, 5, 300)
    smoothing = Parameter(9, 2, 50)
    short = Parameter(False)

    def check_parameters(self) -> None:
        """Refuse a fast average that is no faster than the slow one."""
        _check_order(self)

    @property
    def warmup(self) -> int:
        """Return the bar from which the lines of it and of the bar before are known."""
        return self.slow + self.smoothing

    def signals(self, bars: Bars) -> Signals:
        """Enter where the line crosses above its average, leave or turn where it crosses below."""
        line, average, _ = macd(bars.close, self.fast, self.slow, self.smoothing)
        return Signals(Signals.crossing(line, average, short=self.short), tag="macd")


class TrendFilter(BarStrategy):
    """Enter an EMA cross only when a longer timeframe, and optionally another instrument, trends up too.

    Idea: most false crosses run against the larger trend, and most coins fall when Bitcoin does. `reference` names
    the instrument to ask, such as BTC/USDT@BINANCE; empty asks none.
    Market: coins that follow the market, in its rising phases.
    Known failure: the longer trend is known late, so that the first part of every recovery is missed.
    """

    fast = Parameter(20, 2, 200)
    slow = Parameter(50, 5, 500)
    trend = Parameter(50, 2, 200)
    trend_timeframe = Parameter("4h", choices=("15m", "1h", "4h", "1d"))
    reference = Parameter("")

    def check_parameters(self) -> None:
        """Refuse a fast average that is no faster than the slow one."""
        _check_order(self)

    @property
    def warmup(self) -> int:
        """Return enough bars for both averages and for the longer timeframe's, whose first bar may be cut."""
        ratio = -(-timeframe_ns(self.trend_timeframe) // timeframe_ns(self.timeframe))
        return max(self.slow, (self.trend + 1) * ratio)

    def signals(self, bars: Bars) -> Signals:
        """Leave on every cross below, enter only on those crosses above that the larger trends agree with."""
        agreed = self._rising(bars, bars)
        if self.reference and self.reference != bars.instrument:
            agreed &= self._rising(bars, bars.other(self.reference))
        target = Signals.crossing(ema(bars.close, self.fast), ema(bars.close, self.slow))
        target[(target > 0) & ~agreed] = np.nan
        return Signals(target, tag="filtered cross")

    def _rising(self, bars: Bars, asked: Bars) -> np.ndarray:
        """Say for each of `bars` whether `asked` last closed above its average on the longer timeframe."""
        longer = asked.higher(self.trend_timeframe)
        distance: FloatArray = longer.close - ema(longer.close, self.trend)
        return bars.align(longer, distance) > 0
