"""The strategies of the freqtrade workloads, as freqtrade finds them: classes in files of a folder."""

from __future__ import annotations

from typing import Any, ClassVar

from freqtrade.strategy import IStrategy
from pandas import DataFrame

FAST, SLOW = 20, 50


class OneUnit(IStrategy):
    """Hold one unit while the fast average is above the slow one, entered at a cross."""

    INTERFACE_VERSION = 3
    timeframe = "1m"
    minimal_roi: ClassVar[dict[str, float]] = {}
    stoploss = -0.99
    startup_candle_count = 0
    process_only_new_candles = True

    def populate_indicators(self, dataframe: DataFrame, metadata: dict[str, Any]) -> DataFrame:
        """Compute both averages, valid from the bar of their length."""
        for name, span in (("fast", FAST), ("slow", SLOW)):
            dataframe[name] = dataframe["close"].ewm(span=span, adjust=False, min_periods=span).mean()
        return dataframe

    def populate_entry_trend(self, dataframe: DataFrame, metadata: dict[str, Any]) -> DataFrame:
        """Enter where the fast average crosses above the slow one."""
        above = dataframe["fast"] > dataframe["slow"]
        known = dataframe["slow"].shift(1).notna()
        dataframe.loc[above & ~above.shift(1, fill_value=False) & known, "enter_long"] = 1
        return dataframe

    def populate_exit_trend(self, dataframe: DataFrame, metadata: dict[str, Any]) -> DataFrame:
        """Leave where it crosses below."""
        above = dataframe["fast"] > dataframe["slow"]
        dataframe.loc[~above & above.shift(1, fill_value=False), "exit_long"] = 1
        return dataframe

    def custom_stake_amount(self, pair: str, current_time: Any, current_rate: float, **_: Any) -> float:
        """Stake the price of one unit."""
        return current_rate


class WithExits(OneUnit):
    """The same with a target and a trailing stop, which is nearer than the fixed one ever is, and a fixed stake."""

    stoploss = -0.015
    trailing_stop = True
    minimal_roi: ClassVar[dict[str, float]] = {"0": 0.03}
    custom_stake_amount = IStrategy.custom_stake_amount
