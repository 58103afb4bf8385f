"""Small series of sound bars for tests."""

import numpy as np

from abidance.market.bars import Bars
from abidance.model.instrument import timeframe_ns

BTC = "BTC/USDT@BINANCE"
ETH = "ETH/USDT@BINANCE"
NEW_YEAR = 1_704_067_200_000_000_000  # 2024-01-01, a Monday


def a_series(
    count: int = 48,
    *,
    instrument: str = BTC,
    timeframe: str = "1h",
    start: int = NEW_YEAR,
    price: float = 100.0,
    leave_out: tuple[int, ...] = (),
) -> Bars:
    """Return bars that rise and fall a little, without the rows named by `leave_out`."""
    row = np.delete(np.arange(count), leave_out)
    closes = price + np.sin(row) + row / 100
    opens = price + np.sin(row - 1) + (row - 1) / 100
    highs, lows = np.maximum(opens, closes) + 0.5, np.minimum(opens, closes) - 0.5
    ts = start + row * timeframe_ns(timeframe)
    volumes = (1.0 + row % 7).astype(np.float64)
    return Bars(instrument, timeframe, ts, (opens, highs, lows, closes, volumes))


def changed(bars: Bars, field: str, row: int, value: float) -> Bars:
    """Return a copy of `bars` with one value replaced."""
    columns = {name: getattr(bars, name).copy() for name in ("open", "high", "low", "close", "volume")}
    columns[field][row] = value
    return Bars(bars.instrument, bars.timeframe, bars.ts.copy(), columns.values())
