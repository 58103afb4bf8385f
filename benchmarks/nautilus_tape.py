"""NautilusTrader on the tape workloads: trade ticks become bars inside it, orders rest, ticks fill them.

Ticks are given without their side, so that it holds every price against every order, as Abidance does; with it, a
sell's price is no ask that a resting buy could meet. It fills a stop at its trigger, not at the price that set it off.

    python nautilus_tape.py 5000000          # enters at market
    python nautilus_tape.py 5000000 limit    # enters by a limit that rests
"""

from __future__ import annotations

import sys

import nautilus_trader
import numpy as np
import pandas as pd
from harness import (
    TAPE_FAST,
    TAPE_OFFSET,
    TAPE_QUANTITY,
    TAPE_SLOW,
    TAPE_STOP,
    TAPE_TARGET,
    TAPE_WALLET,
    Phases,
    emit,
    tape_file,
)  # fmt: skip
from nautilus_setup import INSTRUMENT_ID, instrument, profit, quiet_engine
from nautilus_trader.indicators import ExponentialMovingAverage
from nautilus_trader.model.data import Bar, BarType, TradeTick
from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.events import OrderFilled
from nautilus_trader.model.instruments import CurrencyPair
from nautilus_trader.persistence.wranglers import TradeTickDataWrangler
from nautilus_trader.trading.strategy import Strategy

BAR_TYPE = BarType.from_str(f"{INSTRUMENT_ID}-1-MINUTE-LAST-INTERNAL")


class Crosses(Strategy):
    """At a cross up enter; once filled, a stop and a target; at a cross down be out."""

    def __init__(self, by_limit: bool) -> None:
        super().__init__()
        self.by_limit = by_limit
        self.fast = ExponentialMovingAverage(TAPE_FAST)
        self.slow = ExponentialMovingAverage(TAPE_SLOW)
        self.above: bool | None = None
        self.entry = self.guard = self.goal = None
        self.bars = 0
        self.fills = {"entries": 0, "stops": 0, "targets": 0, "left": 0}

    def on_start(self) -> None:
        """Subscribe to the bars and let the engine update both averages."""
        self.pair = self.cache.instrument(INSTRUMENT_ID)
        self.quantity = self.pair.make_qty(TAPE_QUANTITY)
        self.register_indicator_for_bars(BAR_TYPE, self.fast)
        self.register_indicator_for_bars(BAR_TYPE, self.slow)
        self.subscribe_bars(BAR_TYPE)

    def on_bar(self, bar: Bar) -> None:
        """Act when the averages have crossed at this bar's close."""
        self.bars += 1
        if not self.slow.initialized:
            return
        before, self.above = self.above, self.fast.value > self.slow.value
        if before is None or before == self.above:
            return
        if self.above:
            make = self.order_factory
            if self.by_limit:
                price = self.pair.make_price(bar.close.as_double() * (1 - TAPE_OFFSET))
                self.entry = make.limit(INSTRUMENT_ID, OrderSide.BUY, self.quantity, price)
            else:
                self.entry = make.market(INSTRUMENT_ID, OrderSide.BUY, self.quantity)
            self.submit_order(self.entry)
        elif self.entry is not None:
            self.cancel_order(self.entry)
            self.entry = None
        elif self.guard is not None:
            guard, goal = self.guard, self.goal
            self.guard = self.goal = None
            self.cancel_order(guard)
            self.cancel_order(goal)
            self.submit_order(self.order_factory.market(INSTRUMENT_ID, OrderSide.SELL, self.quantity))

    def on_order_filled(self, event: OrderFilled) -> None:
        """Protect an entry, and take the other exit away when one is filled."""
        order = event.client_order_id
        if self.entry is not None and order == self.entry.client_order_id:
            self.entry = None
            self.fills["entries"] += 1
            paid = event.last_px.as_double()
            self.guard = self.order_factory.stop_market(
                INSTRUMENT_ID, OrderSide.SELL, self.quantity, self.pair.make_price(paid * (1 - TAPE_STOP))
            )
            self.goal = self.order_factory.limit(
                INSTRUMENT_ID, OrderSide.SELL, self.quantity, self.pair.make_price(paid * (1 + TAPE_TARGET))
            )
            self.submit_order(self.guard)
            self.submit_order(self.goal)
        elif self.guard is not None and order == self.guard.client_order_id:
            goal, self.guard, self.goal = self.goal, None, None
            self.fills["stops"] += 1
            self.cancel_order(goal)
        elif self.goal is not None and order == self.goal.client_order_id:
            guard, self.guard, self.goal = self.guard, None, None
            self.fills["targets"] += 1
            self.cancel_order(guard)
        else:
            self.fills["left"] += 1


def wrangle(count: int, pair: CurrencyPair, phases: Phases) -> list[TradeTick]:
    """Read the arrays and turn them into the engine's objects."""
    with phases.measure("load"), np.load(tape_file()) as stored:
        columns = {
            "price": stored["price"][:count],
            "quantity": stored["qty"][:count],
            "trade_id": np.arange(count).astype(str),
        }
        index = pd.to_datetime(stored["ts"][:count], unit="ms", utc=True)
    with phases.measure("wrangle"):
        return TradeTickDataWrangler(pair).process(pd.DataFrame(columns, index=index))


def main() -> None:
    """Run the workload once and print the result."""
    phases = Phases()
    count = int(sys.argv[1])
    pair = instrument()
    ticks = wrangle(count, pair, phases)
    last_price = ticks[-1].price.as_double()
    strategy = Crosses("limit" in sys.argv)
    with phases.measure("engine"):
        engine = quiet_engine(TAPE_WALLET, trade_execution=True)
        engine.add_instrument(pair)
        engine.add_data(ticks)
        del ticks
        engine.add_strategy(strategy)
    with phases.measure("run"):
        engine.run()
    outcome = {"bars": strategy.bars, **strategy.fills, "pnl": profit(engine, last_price, TAPE_WALLET)}
    version = nautilus_trader.__version__
    emit("nautilus", version, count, phases.seconds["run"], phases, outcome, cpu_s=phases.processor["run"])


if __name__ == "__main__":
    main()
