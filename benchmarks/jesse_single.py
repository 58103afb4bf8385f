"""Jesse on the single workload: a market order fills at the close of the bar that raised it.

On its spot account a fee is taken out of what is bought, so that less than a unit would be sold; its futures account
without leverage pays fees in quote units, as the other engines do.

    python jesse_single.py 200000
"""

from __future__ import annotations

import os
import sys
import tempfile
from importlib.metadata import version

import numpy as np
from harness import CASH, FAST, FEE, QUANTITY, SLOW, Phases, bars_file, emit

EXCHANGE, PAIR = "Binance Perpetual Futures", "BTC-USDT"
WINDOW = 400
"""Bars that an average is computed from: enough to forget the beginning."""


def main() -> None:
    """Run the workload once and print the result."""
    phases = Phases()
    count = int(sys.argv[1])
    os.chdir(tempfile.mkdtemp(prefix="bench-jesse-"))  # it makes folders where it is imported
    with phases.measure("import"):
        from jesse.services.db import Database

        Database.open_connection = lambda self: None  # research needs no database
        import jesse.indicators as ta
        from jesse import helpers, research
        from jesse.strategies import Strategy

    class EmaCross(Strategy):
        """Hold one unit while the fast average is above the slow one, entered at a cross."""

        def averages(self) -> tuple[np.ndarray, np.ndarray]:
            window = self.candles[-WINDOW:]
            return ta.ema(window, FAST, sequential=True), ta.ema(window, SLOW, sequential=True)

        def should_long(self) -> bool:
            if len(self.candles) <= SLOW:
                return False
            fast, slow = self.averages()
            return bool(fast[-1] > slow[-1] and fast[-2] <= slow[-2])

        def go_long(self) -> None:
            self.buy = QUANTITY, self.price

        def update_position(self) -> None:
            fast, slow = self.averages()
            if fast[-1] < slow[-1]:
                self.liquidate()

        def should_cancel_entry(self) -> bool:
            return True

    with phases.measure("load"), np.load(bars_file(count)) as stored:
        names = ("ts", "open", "close", "high", "low", "volume")
        candles = np.column_stack([stored[name] for name in names]).astype(float)
    config = {
        "starting_balance": CASH, "fee": FEE, "type": "futures", "futures_leverage": 1,
        "futures_leverage_mode": "cross", "exchange": EXCHANGE, "warm_up_candles": 0,
    }  # fmt: skip
    routes = [{"exchange": EXCHANGE, "strategy": EmaCross, "symbol": PAIR, "timeframe": "1m"}]
    data = {helpers.key(EXCHANGE, PAIR): {"exchange": EXCHANGE, "symbol": PAIR, "candles": candles}}
    with phases.measure("run"):
        result = research.backtest(config, routes, [], data)
    metrics = result["metrics"]
    outcome = {
        "trades": len(result["trades"]) + metrics["total_open_trades"],
        "closed": len(result["trades"]),
        "pnl": float(metrics["net_profit"]),
        "fill": "bar close",
    }
    emit(
        "jesse",
        version("jesse"),
        count,
        phases.seconds["run"],
        phases,
        outcome,
        cpu_s=phases.processor["run"],
    )


if __name__ == "__main__":
    main()
