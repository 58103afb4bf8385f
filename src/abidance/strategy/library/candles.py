"""Candle patterns in the direction of the trend."""

from abidance.indicators.patterns import any_pattern
from abidance.indicators.trend import ema
from abidance.indicators.volatility import atr_distance
from abidance.market.bars import Bars
from abidance.strategy.base import BarStrategy, Signals
from abidance.strategy.parameters import Parameter

BULLISH = ("engulfing", "hammer", "morning_star", "piercing", "three_white_soldiers")
BEARISH = ("dark_cloud", "engulfing", "evening_star", "shooting_star", "three_black_crows")


class CandleTrend(BarStrategy):
    """Buy a bullish candle pattern above the trend, leave at a bearish one below it, by stop or by target.

    Idea: a pullback inside a trend ends with a recognisable bar; patterns against the trend are left alone.
    Market: trends with pullbacks, on bars of four hours or more.
    Known failure: coins trade round the clock, so that the gaps many patterns were named for are missing and single
    patterns hardly beat chance; the trend, the stop and the target do most of the work.
    """

    trend = Parameter(200, 10, 1000)
    atr_period = Parameter(14, 2, 100)
    stop = Parameter(3.0, 0.5, 20.0)
    reward = Parameter(2.0, 0.5, 10.0)

    @property
    def warmup(self) -> int:
        """Return the bars of the trend, which are more than any pattern looks at."""
        return max(self.trend, self.atr_period + 1, 30)

    def signals(self, bars: Bars) -> Signals:
        """Enter on a bullish pattern above the average, leave on a bearish one below it."""
        candles = (bars.open, bars.high, bars.low, bars.close)
        bullish, _ = any_pattern(BULLISH, *candles)
        _, bearish = any_pattern(BEARISH, *candles)
        average = ema(bars.close, self.trend)
        stop = atr_distance(bars.high, bars.low, bars.close, self.atr_period, self.stop)
        return Signals(
            Signals.entries(bullish & (bars.close > average), bearish & (bars.close < average)),
            stop=stop,
            take_profit=stop * self.reward,
            tag="candle",
        )
