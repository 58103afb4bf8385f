"""backtesting.py on the bars workload: a long/flat EMA cross, one unit, market orders.

It fills a market order at the open of the next bar. Its progress bar is taken out.

    python backtesting_bars.py 200000
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

import backtesting.backtesting
import numpy as np
import pandas as pd
from backtesting import Backtest, Strategy
from harness import CASH, FAST, FEE, QUANTITY, SLOW, Phases, bars_file, emit


def ema(values: Any, span: int) -> np.ndarray:
    """Return the recursive average, seeded by the first value, valid from bar `span`."""
    average = pd.Series(values).ewm(span=span, adjust=False, min_periods=span).mean()
    return average.to_numpy()


class EmaCross(Strategy):
    """Hold one unit while the fast average is above the slow one, entered at a cross."""

    def init(self) -> None:
        """Compute both averages over the whole series, as the library asks for."""
        self.fast = self.I(ema, self.data.Close, FAST)
        self.slow = self.I(ema, self.data.Close, SLOW)

    def next(self) -> None:
        """Trade when the averages have crossed at this bar's close."""
        fast, slow = self.fast, self.slow
        above, before = fast[-1] > slow[-1], fast[-2] > slow[-2]
        if above == before or np.isnan(slow[-2]):
            return
        if above:
            self.buy(size=QUANTITY)
        elif self.position:
            self.position.close()


def without_progress(steps: Iterable[Any], **_: Any) -> Iterable[Any]:
    """Stand in for the progress bar."""
    return steps


def frame(count: int) -> pd.DataFrame:
    """Read the arrays as the frame that the library takes."""
    stored = np.load(bars_file(count))
    names = ("open", "high", "low", "close", "volume")
    columns = {name.capitalize(): stored[name] for name in names}
    return pd.DataFrame(columns, index=pd.to_datetime(stored["ts"], unit="ms"))


def main() -> None:
    """Run the workload once and print the result."""
    phases = Phases()
    count = int(sys.argv[1])
    warnings.simplefilter("ignore")
    backtesting.backtesting._tqdm = without_progress
    with phases.measure("load"):
        data = frame(count)
    with phases.measure("engine"):
        test = Backtest(data, EmaCross, cash=CASH, commission=FEE, finalize_trades=False)
    with phases.measure("run"):
        stats = test.run()
    still_open = len(stats["_strategy"].trades)
    outcome = {
        "trades": int(stats["# Trades"]) + still_open,
        "closed": int(stats["# Trades"]),
        "pnl": float(stats["Equity Final [$]"]) - CASH,
        "fill": "next open",
    }
    emit(
        "backtesting",
        version("backtesting"),
        count,
        phases.seconds["run"],
        phases,
        outcome,
        cpu_s=phases.processor["run"],
    )


if __name__ == "__main__":
    main()
