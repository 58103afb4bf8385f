"""Abidance on the tape-events workload: ticks become bars and fill what rests; they are skipped where none can act.

The strategy is Python and is called at every bar's close and fill. The steady figure includes making the bars.

    python abidance_tape_events.py 5000000
"""

from __future__ import annotations

import sys
from collections import Counter
from decimal import Decimal

from harness import (
    FEE,
    TAPE_FAST,
    TAPE_OFFSET,
    TAPE_QUANTITY,
    TAPE_SLOW,
    TAPE_STOP,
    TAPE_TARGET,
    TAPE_WALLET,
    Phases,
    emit,
    repeated,
    tape_file,
)  # fmt: skip

ID = "BTC/USDT@BINANCE"
NAME = "RestingEntry"


def main() -> None:
    """Run the workload and print the result."""
    phases = Phases()
    count = int(sys.argv[1])
    with phases.measure("import"):
        import numpy as np
        import polars as pl
        from abidance_setup import unlimited, venue

        import abidance
        from abidance.engine.config import StrategyConfig
        from abidance.engine.engine import Engine
        from abidance.engine.pump import Pump
        from abidance.engine.runners import EventRunner
        from abidance.engine.series import Series
        from abidance.engine.state import State, StrategyView
        from abidance.execution.orders import Orders
        from abidance.market.build import Tape, build_time_bars
        from abidance.market.feed import BarReplay, TradeReplay, merge
        from abidance.market.reference import instrument
        from abidance.model.event import BalanceChanged, Control, ControlAction
        from abidance.model.intent import CancelRequest, Target
        from abidance.model.market import Bar
        from abidance.model.money import to_decimal
        from abidance.model.order import OrderRequest, OrderType, Protection, Purpose, Side
        from abidance.portfolio.portfolio import Portfolio
        from abidance.risk.breaker import Breakers
        from abidance.risk.gate import Gate
        from abidance.strategy.base import EventStrategy, Intents, View
        from abidance.venues.sim.venue import SimVenue

    class RestingEntry(EventStrategy):
        """At a cross up rest a limit below the close, with a stop and a target; at a cross down be out."""

        def __init__(self) -> None:
            self.bars = 0
            self.fast = self.slow = 0.0
            self.above: bool | None = None

        def on_bar(self, bar: Bar, view: View) -> Intents:
            """Act when the averages have crossed at this bar's close."""
            if not self.bars:
                self.fast = self.slow = bar.close
            self.bars += 1
            self.fast += 2 / (TAPE_FAST + 1) * (bar.close - self.fast)
            self.slow += 2 / (TAPE_SLOW + 1) * (bar.close - self.slow)
            if self.bars < TAPE_SLOW:
                return None
            before, self.above = self.above, self.fast > self.slow
            if before is None or before == self.above:
                return None
            if not self.above:
                resting = [
                    CancelRequest(order.id) for order in view.orders(ID) if not order.request.reduce_only
                ]
                return resting or [Target(self.name, ID, 0.0, bar.close)]
            price = round(bar.close * (1 - TAPE_OFFSET), 2)
            protection = Protection(stop=price * TAPE_STOP, take_profit=price * TAPE_TARGET)
            return [
                OrderRequest(
                    self.name, ID, Side.BUY, to_decimal(TAPE_QUANTITY), OrderType.LIMIT, to_decimal(price),
                    decision_price=to_decimal(bar.close), protection=protection,
                )
            ]  # fmt: skip

    with phases.measure("load"), np.load(tape_file()) as stored:
        ts, price, size = (stored[name][:count] for name in ("ts", "price", "qty"))
        sides = pl.Series(np.where(stored["side"][:count] > 0, "buy", "sell"))
    tape = Tape(ts * 1_000_000, price, size)
    columns = {"ts_ns": tape.ts, "price": price, "size": size, "side": sides}
    instruments = {ID: instrument(ID)}
    settings = venue().model_copy(update={"fill_on_touch": True})

    def run() -> dict[str, float]:
        bars = build_time_bars(ID, "1m", tape, since=int(tape.ts[0]) // 60_000_000_000 * 60_000_000_000)
        config = StrategyConfig(strategy=NAME, name=NAME, instruments=(ID,), timeframe="1m")
        risk = unlimited()
        portfolio = Portfolio(instruments, "USDT")
        state = State(instruments, {NAME: config}, portfolio, Orders(), {ID: FEE})
        engine = Engine(state, Gate(risk), Breakers(risk.breakers), "{:032x}".format, isolate=False)
        engine.add_series(Series(ID, "1m"))
        strategy = RestingEntry()
        strategy.name = NAME
        engine.add(EventRunner(NAME, strategy, config, (ID,), StrategyView(state, NAME)))
        engine.prepare()
        sim = SimVenue(
            {"BINANCE": settings}, instruments, {"BINANCE": {"USDT": to_decimal(TAPE_WALLET)}}, {ID: "trade"}
        )
        pump = Pump(engine, sim)
        pump.step(BalanceChanged(0, "BINANCE", "USDT", Decimal(int(TAPE_WALLET)), "opening balance"))
        pump.step(Control(0, ControlAction.START))
        pump.run(merge(TradeReplay(ID, columns), BarReplay([bars])).events())
        purposes = {order.id: order.request.purpose for order in state.orders.all()}
        made = Counter(purposes[fill.order_id] for fill in engine.fills)
        return {
            "bars": strategy.bars,
            "entries": made[Purpose.ENTRY],
            "stops": made[Purpose.STOP_LOSS],
            "targets": made[Purpose.TAKE_PROFIT],
            "left": made[Purpose.SIGNAL],
            "pnl": float(portfolio.equity()) - TAPE_WALLET,
        }

    with phases.measure("run"):
        outcome, timed = repeated(run, least=1, seconds=0.0)
    emit("abidance", abidance.__version__, count, timed.wall_s, phases, outcome, **timed.also)


if __name__ == "__main__":
    main()
