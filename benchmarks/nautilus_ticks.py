"""NautilusTrader on the ticks workload: every trade tick enters a Python callback.

python nautilus_ticks.py 1000000
"""

from __future__ import annotations

import sys

import nautilus_trader
import numpy as np
import pandas as pd
from harness import TICK_EMA_ALPHA, Phases, emit, ticks_file
from nautilus_setup import INSTRUMENT_ID, instrument, quiet_engine
from nautilus_trader.model.data import TradeTick
from nautilus_trader.model.instruments import CurrencyPair
from nautilus_trader.persistence.wranglers import TradeTickDataWrangler
from nautilus_trader.trading.strategy import Strategy


class TickAverage(Strategy):
    """Count the ticks and keep an exponential average of their price."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0
        self.average = 0.0

    def on_start(self) -> None:
        """Subscribe to the trade ticks."""
        self.subscribe_trade_ticks(INSTRUMENT_ID)

    def on_trade_tick(self, tick: TradeTick) -> None:
        """Take one tick in."""
        self.seen += 1
        self.average += TICK_EMA_ALPHA * (tick.price.as_double() - self.average)


def wrangle(path: str, pair: CurrencyPair, phases: Phases) -> list[TradeTick]:
    """Read the arrays and turn them into the engine's objects."""
    with phases.measure("load"):
        stored = np.load(path)
        columns = {
            "price": stored["price"],
            "quantity": stored["qty"],
            "buyer_maker": stored["side"] < 0,
            "trade_id": np.arange(len(stored["ts"])).astype(str),
        }
        index = pd.to_datetime(stored["ts"], unit="ms", utc=True)
    with phases.measure("wrangle"):
        return TradeTickDataWrangler(pair).process(pd.DataFrame(columns, index=index))


def main() -> None:
    """Run the workload once and print the result."""
    phases = Phases()
    count = int(sys.argv[1])
    pair = instrument()
    ticks = wrangle(str(ticks_file(count)), pair, phases)
    strategy = TickAverage()
    with phases.measure("engine"):
        engine = quiet_engine()
        engine.add_instrument(pair)
        engine.add_data(ticks)
        engine.add_strategy(strategy)
    with phases.measure("run"):
        engine.run()
    outcome = {"ticks": strategy.seen, "average": strategy.average}
    version = nautilus_trader.__version__
    emit("nautilus", version, count, phases.seconds["run"], phases, outcome, cpu_s=phases.processor["run"])


if __name__ == "__main__":
    main()
