"""Abidance on the ticks workload: every trade tick enters a Python callback, streamed from Parquet.

python abidance_ticks.py 1000000
"""

from __future__ import annotations

import sys
from decimal import Decimal

from harness import TICK_EMA_ALPHA, Phases, emit, ticks_file

ID = "BTC/USDT@BINANCE"


def main() -> None:
    """Run the workload once and print the result."""
    phases = Phases()
    count = int(sys.argv[1])
    with phases.measure("import"):
        import abidance
        from abidance.engine.config import StrategyConfig
        from abidance.engine.engine import Engine
        from abidance.engine.pump import Pump
        from abidance.engine.runners import EventRunner
        from abidance.engine.state import State, StrategyView
        from abidance.execution.orders import Orders
        from abidance.market.feed import TradeReplay
        from abidance.model.event import BalanceChanged, Control, ControlAction
        from abidance.model.instrument import Instrument
        from abidance.model.market import Trade
        from abidance.portfolio.portfolio import Portfolio
        from abidance.risk.breaker import Breakers
        from abidance.risk.config import RiskConfig
        from abidance.risk.gate import Gate
        from abidance.strategy.base import EventStrategy, View
        from abidance.venues.sim.config import VenueConfig
        from abidance.venues.sim.venue import SimVenue

    class TickAverage(EventStrategy):
        """Count the ticks and keep an exponential average of their price."""

        def __init__(self) -> None:
            self.seen = 0
            self.average = 0.0

        def on_trade(self, trade: Trade, view: View) -> None:
            """Take one tick in."""
            self.seen += 1
            self.average += TICK_EMA_ALPHA * (trade.price - self.average)

    with phases.measure("engine"):
        instruments = {
            ID: Instrument(ID, Decimal("0.01"), Decimal("0.000001"), Decimal("0.000001"), Decimal(5))
        }
        config = StrategyConfig(strategy="TickAverage", name="TickAverage", instruments=(ID,), timeframe="1m")
        risk = RiskConfig()
        state = State(instruments, {"TickAverage": config}, Portfolio(instruments, "USDT"), Orders(), {})
        engine = Engine(state, Gate(risk), Breakers(risk.breakers), "{:032x}".format, isolate=False)
        strategy = TickAverage()
        engine.add(EventRunner("TickAverage", strategy, config, (ID,), StrategyView(state, "TickAverage")))
        venue = SimVenue(VenueConfig(), instruments, {"BINANCE": {"USDT": Decimal(10**6)}}, {ID: "trade"})
        pump = Pump(engine, venue)
        pump.step(BalanceChanged(0, "BINANCE", "USDT", Decimal(10**6), "opening balance"))
        pump.step(Control(0, ControlAction.START))
        feed = TradeReplay(ID, ticks_file(count, "parquet"))
    with phases.measure("run"):
        pump.run(feed.events())
    outcome = {"ticks": strategy.seen, "average": strategy.average}
    emit(
        "abidance",
        abidance.__version__,
        count,
        phases.seconds["run"],
        phases,
        outcome,
        cpu_s=phases.processor["run"],
    )


if __name__ == "__main__":
    main()
