"""NautilusTrader on the bars workload: a long/flat EMA cross, one unit, market orders.

Its bar execution fills a market order at the close of the bar that raised it.

    python nautilus_bars.py 200000
"""

from __future__ import annotations

import sys

import nautilus_trader
import numpy as np
import pandas as pd
from harness import FAST, QUANTITY, SLOW, Phases, bars_file, emit
from nautilus_setup import INSTRUMENT_ID, instrument, profit, quiet_engine
from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.indicators import ExponentialMovingAverage
from nautilus_trader.model.data import Bar, BarType
from nautilus_trader.model.enums import OrderSide, OrderStatus
from nautilus_trader.model.instruments import CurrencyPair
from nautilus_trader.persistence.wranglers import BarDataWrangler
from nautilus_trader.trading.strategy import Strategy

BAR_TYPE = BarType.from_str(f"{INSTRUMENT_ID}-1-MINUTE-LAST-EXTERNAL")


class EmaCross(Strategy):
    """Hold one unit while the fast average is above the slow one, entered at a cross."""

    def __init__(self) -> None:
        super().__init__()
        self.fast = ExponentialMovingAverage(FAST)
        self.slow = ExponentialMovingAverage(SLOW)
        self.above: bool | None = None
        self.long = False

    def on_start(self) -> None:
        """Subscribe to the bars and let the engine update both averages."""
        self.quantity = self.cache.instrument(INSTRUMENT_ID).make_qty(QUANTITY)
        self.register_indicator_for_bars(BAR_TYPE, self.fast)
        self.register_indicator_for_bars(BAR_TYPE, self.slow)
        self.subscribe_bars(BAR_TYPE)

    def on_bar(self, bar: Bar) -> None:
        """Trade when the averages have crossed at this bar's close."""
        if not self.slow.initialized:
            return
        before, self.above = self.above, self.fast.value > self.slow.value
        if before is None or before == self.above or self.above == self.long:
            return
        self.long = self.above
        side = OrderSide.BUY if self.above else OrderSide.SELL
        self.submit_order(self.order_factory.market(INSTRUMENT_ID, side, self.quantity))


def wrangle(path: str, pair: CurrencyPair, phases: Phases) -> list[Bar]:
    """Read the arrays and turn them into the engine's objects, stamped at the bar's close."""
    with phases.measure("load"):
        stored = np.load(path)
        columns = {name: stored[name] for name in ("open", "high", "low", "close", "volume")}
        index = pd.to_datetime(stored["ts"] + 60_000, unit="ms", utc=True)
    with phases.measure("wrangle"):
        return BarDataWrangler(BAR_TYPE, pair).process(pd.DataFrame(columns, index=index))


def outcome(engine: BacktestEngine, last_price: float) -> dict[str, object]:
    """Count from the engine's own records what was filled."""
    filled = [order for order in engine.cache.orders() if order.status == OrderStatus.FILLED]
    entries = sum(1 for order in filled if order.side == OrderSide.BUY)
    return {
        "trades": entries,
        "closed": len(filled) - entries,
        "pnl": profit(engine, last_price),
        "fill": "bar close",
    }


def main() -> None:
    """Run the workload once and print the result."""
    phases = Phases()
    count = int(sys.argv[1])
    pair = instrument()
    bars = wrangle(str(bars_file(count)), pair, phases)
    last_price = bars[-1].close.as_double()
    with phases.measure("engine"):
        engine = quiet_engine()
        engine.add_instrument(pair)
        engine.add_data(bars)
        engine.add_strategy(EmaCross())
    with phases.measure("run"):
        engine.run()
    version = nautilus_trader.__version__
    emit(
        "nautilus",
        version,
        count,
        phases.seconds["run"],
        phases,
        outcome(engine, last_price),
        cpu_s=phases.processor["run"],
    )


if __name__ == "__main__":
    main()
